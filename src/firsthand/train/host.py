"""The machine: which device, how many threads."""

import time
from functools import cache

import torch

from firsthand.errors import UserError


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """The named device, or the best one for "auto": cuda, then mps, then cpu. UserError if it is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"train.device={name} is no device. Use auto, cpu, cuda, cuda:N or mps.") from None
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(device.type, False):
        raise UserError(f"train.device={name}: this machine has no {device.type}. Use train.device=auto.")
    if device.type == "cuda":
        device = torch.device("cuda", local_rank if device.index is None else device.index)
        torch.cuda.set_device(device)
        torch.set_float32_matmul_precision("high")
    return device


def use_threads(threads: int | None) -> int:
    """Compute with `threads` CPU threads (default: torch's choice, the physical cores); returns their number."""
    if threads is not None:
        torch.set_num_threads(threads)
    return torch.get_num_threads()


CLEARLY = 1.5
"""Fewer threads must be so many times as fast to be chosen: a busy moment must not decide over a run."""


@cache
def thread_rates(size: int = 512) -> dict[int, float]:
    """FLOP/s of square fp32 products with torch's own number of threads, and with 1, 2, 4, ... fewer ones.

    A container that may use one core of a machine where torch sees sixteen is many times as fast with one thread.
    """
    most = torch.get_num_threads()
    left, right = torch.randn(size, size), torch.randn(size, size)
    best: dict[int, float] = {}
    for count in [most, *(1 << power for power in range(16) if 1 << power < most)]:
        torch.set_num_threads(count)
        seconds = float("inf")
        for _ in range(4):
            start = time.perf_counter()
            left @ right
            seconds = min(seconds, time.perf_counter() - start)
        best[count] = 2 * size**3 / seconds
    torch.set_num_threads(most)
    return best


def best_threads(rates: dict[int, float]) -> int:
    """The first of `rates`, unless another number is CLEARLY faster."""
    first, fastest = next(iter(rates)), max(rates, key=lambda count: rates[count])
    return fastest if rates[fastest] > CLEARLY * rates[first] else first
