"""Claim: a training step takes a fraction of the time that nanoGPT and `transformers` need for it, equal shapes.

GPT-2's layers over characters at T = 256, a random text, AdamW and clipping on every side. Each side stands twice: as
its README runs it on a CPU, and compiled with its best flags. All in turn, several windows each; the median counts.
"share of peak" divides model FLOPs (6 for each weight and token, and the causal half of attention) by the best matmul
rate of this process.
"""

from collections.abc import Mapping
from typing import Any

from benchmarks.peers import PEERS, Shape, Step, ours, stepper, windows
from firsthand.ops.roof import measure_peak

SHAPES = (Shape(6, 256, 4, 16), Shape(6, 384, 6, 16))
PLAIN = {"preset": "gpt2", "dropout": 0.0}
WAYS = {"eager": False, "compiled": True}


def rows() -> list[dict[str, Any]]:
    return [row for shape in SHAPES for row in of(shape)]


def of(shape: Shape, ways: Mapping[str, bool] = WAYS) -> list[dict[str, Any]]:
    """All sides at one shape. Where a peer is missing, the rest stands alone."""
    sides: dict[str, Step] = {}
    flops = 0.0
    for how, compiled in ways.items():
        loop = ours(shape, PLAIN, "adamw", compiled)
        flops = loop.flops_per_token
        sides[f"firsthand, {loop.precision}, {how}"] = stepper(loop)
        for name, peer in PEERS.items():
            found = peer(shape, compiled)
            if found is not None:
                precision, step = found
                sides[f"{name}, {precision}, {how}"] = step
    rates = {name: shape.tokens / seconds for name, seconds in windows(sides, shape.device).items()}
    best = max(rate for name, rate in rates.items() if name.startswith("firsthand"))
    peak = measure_peak(shape.device)
    return [
        {
            "layers x width": f"{shape.n_layers} x {shape.d_model}",
            "who": name,
            "tokens/s": rate,
            "share of peak": rate * flops / peak,
            "our best over it": best / rate,
        }
        for name, rate in rates.items()
    ]
