"""Stateless randomness: what a step draws depends on (seed, step, microbatch) alone, so nothing needs to be saved."""

import hashlib

import torch


def seed_for(*key: int | str) -> int:
    """63 bits that depend on every part of the key."""
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def seed_microbatch(seed: int, step: int, microbatch: int) -> None:
    """Seed torch's generators for one forward pass (dropout). `microbatch` is its number over all ranks."""
    torch.manual_seed(seed_for("dropout", seed, step, microbatch))
