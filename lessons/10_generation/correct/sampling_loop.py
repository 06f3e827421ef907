"""Row by row, with Python's sort and a running sum."""

import math

import torch
from torch import Tensor


def sample(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    return torch.tensor([one(row, temperature, top_k, top_p, generator) for row in logits.tolist()])


def one(row, temperature, top_k, top_p, generator) -> int:
    order = sorted(range(len(row)), key=lambda i: -row[i])
    if temperature == 0:
        return order[0]
    best = row[order[0]]
    kept = [(i, math.exp((row[i] - best) / temperature)) for i in order[:top_k]]
    if top_p is not None:
        total, running, nucleus = sum(weight for _, weight in kept), 0.0, []
        for i, weight in kept:
            nucleus.append((i, weight))
            running += weight
            if running >= top_p * total:
                break
        kept = nucleus
    left = torch.rand((), generator=generator).item() * sum(weight for _, weight in kept)
    for i, weight in kept:
        left -= weight
        if left < 0:
            return i
    return kept[-1][0]
