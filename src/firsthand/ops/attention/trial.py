"""A short trial of the versions of attention: what a training step of this kind takes with each, on this machine."""

import time
from functools import cache

import torch
from torch import Tensor

from firsthand.ops.attention import attention

LENGTHS = range(64, 2049)
"""Shorter rows take no time worth a trial; in longer ones flash wins everywhere."""
SCORES = 1 << 19
"""The trial's rows have about so many scores together: some 60 ms in all on one core with AMX."""


@cache
def training_seconds(dtype: torch.dtype, length: int, d_head: int) -> dict[str, float]:
    """Seconds of a causal forward and backward pass on the CPU by version, the best of two after one to warm up.

    Infinite for a version that this CPU cannot run.
    """
    rows = max(1, SCORES // length**2)
    heads = tuple(torch.randn(1, rows, length, d_head, dtype=dtype).requires_grad_() for _ in range(3))
    best = {"product": float("inf"), "sdpa": float("inf")}
    for run in range(3):
        for version in best:
            seconds = _seconds(heads, version)
            best[version] = min(best[version], seconds) if run else best[version]
    return best


def _seconds(heads: tuple[Tensor, ...], version: str) -> float:
    start = time.perf_counter()
    try:
        with torch.enable_grad():
            out = attention(*heads, causal=True, version=version)
            loss = (out * out).sum()  # a scalar: for gradients that are handed in torch loads sympy, 0.4 s
        torch.autograd.backward(loss, inputs=heads)
    except RuntimeError:  # bf16 flash without AVX-512, though there is AMX
        return float("inf")
    return time.perf_counter() - start
