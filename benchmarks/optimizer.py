"""Claim: the optimizer takes a small share of a step of 8,192 tokens and more.

The wall-clock time of `optimizer.step()` within the training loop, over that of the whole step; medians.
"""

import statistics
import time
from typing import Any

from benchmarks.peers import Shape, ours, stepper

SHAPES = (Shape(6, 256, 4, rows=32), Shape(6, 384, 6, rows=32))
STEPS = 6


def rows() -> list[dict[str, Any]]:
    return [_row(shape, optimizer) for shape in SHAPES for optimizer in ("adamw", "muon")]


def _row(shape: Shape, optimizer: str) -> dict[str, Any]:
    loop = ours(shape, {}, optimizer)
    inner: list[float] = []
    step = loop.optimizer.step

    def timed() -> None:
        start = time.perf_counter()
        step()
        inner.append(time.perf_counter() - start)

    loop.optimizer.step = timed  # type: ignore[assignment,method-assign]
    call, whole = stepper(loop), []
    for _ in range(STEPS + 1):
        start = time.perf_counter()
        call()
        whole.append(time.perf_counter() - start)
    took, all_ = statistics.median(inner[1:]), statistics.median(whole[1:])
    size = f"{shape.n_layers} x {shape.d_model}, {shape.tokens} tokens"
    return {"model": size, "optimizer": optimizer, "step (ms)": 1e3 * all_, "share of it": took / all_}
