"""Claim: the rule of `ops/attention` takes the fastest version. Forward and backward, in turn, best of several.

"whole square": the version product as it would be without blocks (`causal.py`), where it has any.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from firsthand.ops.attention import VERSIONS, attention, banded, causal, choose
from firsthand.ops.attention.mask import Mask

SHAPES = [(64, 4, 16, 32), (64, 4, 64, 32), (24, 3, 128, 64), (16, 4, 256, 64), (8, 4, 512, 64), (2, 4, 1024, 64)]
"""Batch, heads, time, d_head."""
WINDOWS = [(8, 4, 512, 64, 64), (2, 4, 2048, 64, 64), (2, 4, 2048, 64, 256), (2, 4, 2048, 64, 1024)]
"""The same, and the window."""
UNEVEN = [(24, 3, 128, 128), (8, 6, 256, 128), (2, 6, 1024, 128)]
"""The same, with values half as wide as keys."""
WHOLE = "whole square"
REPEATS, SECONDS = 5, 3.0
"""At least so many times, and for so long."""


COLUMNS = [*(name for name in VERSIONS if name != "reference"), WHOLE]


def rows() -> list[dict[str, Any]]:
    cases = [(shape, None, shape[3]) for shape in SHAPES] + [(shape, None, shape[3] // 2) for shape in UNEVEN]
    cases += [(shape[:4], shape[4], shape[3]) for shape in WINDOWS]
    return [_compare(*case, dtype) for dtype in (torch.float32, torch.bfloat16) for case in cases]


def _compare(shape: tuple[int, ...], window: int | None, d_value: int, dtype: torch.dtype) -> dict[str, Any]:
    """Milliseconds of each version that can do it; the reference is left to the tests."""
    sizes = (shape, shape, (*shape[:3], d_value))
    query, key, value = (torch.randn(*size, dtype=dtype).requires_grad_() for size in sizes)
    possible = window is not None and banded.can(query, key, Mask(causal=True, window=window), None)
    versions = [name for name in VERSIONS if name != "reference" and (possible or name != "banded")]
    versions += [WHOLE] * (window is None and shape[2] >= causal.SHORTEST)
    best = dict.fromkeys(versions, float("inf"))
    count, began = 0, time.perf_counter()
    while count <= REPEATS or time.perf_counter() - began < SECONDS:
        for version in versions:
            start = time.perf_counter()
            out = _way(version)(query, key, value, causal=True, window=window)
            torch.autograd.backward(out.sum())
            if count:
                best[version] = min(best[version], time.perf_counter() - start)
        count += 1
    chosen = choose("cpu", dtype, shape[2], False, window if possible else None, d_value != shape[3])
    return {
        "b, h, t, d": ", ".join(map(str, shape)),
        "d_value": d_value,
        "window": window or "-",
        "dtype": {torch.float32: "fp32", torch.bfloat16: "bf16"}[dtype],
        **{f"{name} (ms)": 1000 * best[name] if name in best else "-" for name in COLUMNS},
        "chosen": chosen,
        "over the best": best[chosen] / min(best.values()),
    }


def _way(version: str) -> Callable[..., Tensor]:
    """Attention in that version, or by products of whole squares."""

    def way(*heads: Tensor, **named: Any) -> Tensor:
        shortest = causal.SHORTEST
        causal.SHORTEST = sys.maxsize if version == WHOLE else shortest
        try:
            return attention(*heads, **named, version="product" if version == WHOLE else version)
        finally:
            causal.SHORTEST = shortest

    return way
