"""Claim: on a CPU our operations take less time or less memory than composed ones: best of 10, forward and backward."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.measure import best_seconds, peak_bytes, step
from firsthand.ops.cross_entropy import cross_entropy, linear_cross_entropy
from firsthand.ops.rms_norm import rms_norm
from firsthand.ops.rotate import rotate
from firsthand.ops.rotate.reference import rotate as plain_rotate
from firsthand.ops.squared_relu import squared_relu


def rows() -> list[dict[str, Any]]:
    x, gain = _input(3072, 192), _input(192)
    found = [_pair("RMS norm 3072 x 192", lambda: rms_norm(x, gain), lambda: F.rms_norm(x, (192,), gain))]
    wide = _input(3072, 768)
    found.append(_pair("squared ReLU 3072 x 768", lambda: squared_relu(wide), lambda: F.relu(wide).square()))
    heads, turns = _input(24, 6, 128, 64), torch.randn(128, 128)
    found.append(
        _pair(
            "rotation 24 x 6 x 128 x 64",
            lambda: rotate(heads, turns),
            lambda: plain_rotate(heads, turns, "interleaved"),
        )
    )
    for vocabulary in (2048, 8192):
        hidden, weight, targets = _input(2048, 256), _input(vocabulary, 256), torch.randint(vocabulary, (2048,))
        found.append(
            _pair(
                f"head and loss, 2048 x 256, vocabulary {vocabulary}",
                lambda h=hidden, w=weight, t=targets: linear_cross_entropy(h, w, t)[0],
                lambda h=hidden, w=weight, t=targets: cross_entropy(h @ w.t(), t)[0],
            )
        )
    return found


def _input(*shape: int) -> Tensor:
    return torch.randn(*shape, requires_grad=True)


def _pair(what: str, ours: Callable[[], Tensor], plain: Callable[[], Tensor]) -> dict[str, Any]:
    calls = {"ours": step(ours), "plain": step(plain)}
    seconds, peaks = best_seconds(calls, runs=10), {name: peak_bytes(call) / 1e6 for name, call in calls.items()}
    first, second = 1000 * seconds["ours"], 1000 * seconds["plain"]
    sizes = {"MB": peaks["ours"], "composed, MB": peaks["plain"]}
    return {"what": what, "ms": first, "composed, ms": second, "times as fast": second / first} | sizes
