"""The machine's roof: how fast it multiplies matrices. Every speed is quoted as a share of it."""

import time
from functools import cache

import torch

HOPELESS = 0.1
"""Where tiny products in bf16 run at less than this share of fp32's rate, the CPU emulates them: larger ones take
seconds (512 x 512 on an AMX machine told to use AVX2: 120 ms, fp32 1.7)."""


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


def bf16_gain() -> float:
    """How many times as fast as fp32 the CPU multiplies in bf16: 128 x 128, then 512 x 512 unless that is hopeless.

    50 ms where bf16 is fast or emulated alike.
    """
    gain = 1.0
    for size in (128, 512):
        half, single = (matmul_rate(dtype, "cpu", size, 0.01) for dtype in (torch.bfloat16, torch.float32))
        gain = half / single
        if gain < HOPELESS:
            break
    return gain


def measure_peak(device: str = "cpu", seconds: float = 0.15) -> float:
    """The best matmul rate of this device over the precisions that training uses, in FLOP/s.

    On a CPU a short trial tells which precision that is; its rate is then measured for `seconds`.
    """
    if device != "cpu":  # too fast for products as small as the trial's
        return max(matmul_rate(dtype, device, None, seconds) for dtype in (torch.float32, torch.bfloat16))
    return matmul_rate(torch.bfloat16 if bf16_gain() > 1 else torch.float32, device, None, seconds)
