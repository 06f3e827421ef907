"""Claim: the rule of `ops/attention` takes the fastest version. Forward and backward, in turn, best of several."""

import time
from typing import Any

import torch

from firsthand.ops.attention import VERSIONS, attention, banded, choose
from firsthand.ops.attention.mask import Mask

SHAPES = [(64, 4, 16, 32), (64, 4, 64, 32), (24, 3, 128, 64), (16, 4, 256, 64), (8, 4, 512, 64), (2, 4, 1024, 64)]
"""Batch, heads, time, d_head."""
WINDOWS = [(8, 4, 512, 64, 64), (2, 4, 2048, 64, 64), (2, 4, 2048, 64, 256), (2, 4, 2048, 64, 1024)]
"""The same, and the window."""
REPEATS, SECONDS = 5, 3.0
"""At least so many times, and for so long."""


def rows() -> list[dict[str, Any]]:
    cases = [(shape, None) for shape in SHAPES] + [(shape[:4], shape[4]) for shape in WINDOWS]
    return [_compare(shape, window, dtype) for dtype in (torch.float32, torch.bfloat16) for shape, window in cases]


def _compare(shape: tuple[int, ...], window: int | None, dtype: torch.dtype) -> dict[str, Any]:
    """Milliseconds of each version that can do it; the reference is left to the tests."""
    query, key, value = (torch.randn(*shape, dtype=dtype).requires_grad_() for _ in range(3))
    possible = window is not None and banded.can(query, key, Mask(causal=True, window=window), None)
    versions = [name for name in VERSIONS if name != "reference" and (possible or name != "banded")]
    best = dict.fromkeys(versions, float("inf"))
    count, began = 0, time.perf_counter()
    while count <= REPEATS or time.perf_counter() - began < SECONDS:
        for version in versions:
            start = time.perf_counter()
            out = attention(query, key, value, causal=True, window=window, version=version)
            torch.autograd.backward(out.sum())
            if count:
                best[version] = min(best[version], time.perf_counter() - start)
        count += 1
    chosen = choose("cpu", dtype, shape[2], window=window if possible else None)
    return {
        "shape": " × ".join(map(str, shape)) + (f", window {window}" if window else ""),
        "dtype": str(dtype).removeprefix("torch."),
        **{f"{name} (ms)": 1000 * best[name] if name in best else "-" for name in VERSIONS if name != "reference"},
        "chosen": chosen,
        "over the best": best[chosen] / min(best.values()),
    }
