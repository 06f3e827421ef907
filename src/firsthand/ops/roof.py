"""The machine's roof: how fast it multiplies matrices. Every speed is quoted as a share of it."""

import time
from functools import cache

import torch


@cache
def matmul_rate(dtype: torch.dtype, device: str = "cpu", size: int | None = None, seconds: float = 0.15) -> float:
    """FLOP/s of the best of a few square products in `dtype`, measured once a process for about `seconds`."""
    size = size or (1024 if device == "cpu" else 8192)
    left = torch.randn(size, size, device=device).to(dtype)
    right = torch.randn(size, size, device=device).to(dtype)
    best, end, runs = float("inf"), time.perf_counter() + seconds, 0
    while runs < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        product = left @ right
        if device != "cpu":
            product[0, 0].item()  # wait for the device
        best = min(best, time.perf_counter() - start)
        runs += 1
    return 2 * size**3 / best


def measure_peak(device: str = "cpu") -> float:
    """The best matmul rate of this device over the precisions that training uses, in FLOP/s."""
    return max(matmul_rate(dtype, device) for dtype in (torch.float32, torch.bfloat16))
