"""Claims: Mamba's scan and layer beat the definition and `transformers` in time and memory; decoding stays flat.

The layer of mamba-130m (d_model 768: 1,536 channels of 16 numbers) at 1,024 tokens in fp32. Time is the best of some
runs, both in turn; memory is the most that torch held at once beside inputs and weights, in a run of its own. A row
gives ours, the other and the gain. `transformers` takes minutes for one backward pass (each token's gradient is as
large as all tokens' states), so there each runs once, timed and weighed together. The last row decodes after 65,536
and after 1,024 tokens.
"""

import functools
import logging
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.measure import best_seconds, peak_bytes
from firsthand.model.mixers.mamba import Mamba
from firsthand.ops.causal_convolution import causal_convolution
from firsthand.ops.selective_scan import selective_scan
from firsthand.types import Place

D_MODEL, TIME, D_STATE = 768, 1024, 16
CHANNELS = 2 * D_MODEL
CONTEXTS = (1024, 65536)


def rows() -> list[dict[str, Any]]:
    torch.manual_seed(0)
    x = torch.randn(1, TIME, D_MODEL, requires_grad=True)
    found = [
        *_pairs("scan, against the definition", _scan("blocks"), _scan("reference")),
        *_pairs("convolution, against conv1d", *_convolutions()),
    ]
    theirs = _transformers()
    if theirs is not None:
        ours = functools.partial(_layer, Mamba(D_MODEL), x)
        found += _pairs("layer, against transformers", ours, functools.partial(theirs, x), once=True)
    near, far = _decoding(Mamba(D_MODEL).eval())
    return [*found, {"what": "decoding, tokens/s after 64k and 1k", "ours": far, "other": near, "gain": far / near}]


def _layer(layer: Mamba, x: Tensor) -> Tensor:
    return layer(x, _place(0, TIME))[0]


def _pairs(
    what: str, ours: Callable[[], Tensor], other: Callable[[], Tensor], once: bool = False
) -> list[dict[str, Any]]:
    """Time and memory, forward and with the backward pass; `once`: a single run of the latter."""
    found = []
    for how, backward in (("forward", False), ("forward and backward", True)):
        calls = {"ours": _call(ours, backward), "other": _call(other, backward)}
        if once and backward:
            seconds, peaks = {}, {}
            for name, call in calls.items():
                start = time.perf_counter()
                peaks[name] = peak_bytes(call)
                seconds[name] = time.perf_counter() - start
        else:
            seconds, peaks = best_seconds(calls), {name: peak_bytes(call) for name, call in calls.items()}
        for unit, figures, scale in (("ms", seconds, 1e3), ("MB", peaks, 1e-6)):
            scaled = {name: figure * scale for name, figure in figures.items()}
            found.append({"what": f"{what}: {how} ({unit})", **scaled, "gain": scaled["other"] / scaled["ours"]})
    return found


def _call(work: Callable[[], Tensor], backward: bool) -> Callable[[], None]:
    def call() -> None:
        with torch.set_grad_enabled(backward):
            out = work()
        if backward:
            out.sum().backward()  # type: ignore[no-untyped-call]

    return call


def _scan(version: str) -> Callable[[], Tensor]:
    x, dt = torch.randn(1, TIME, CHANNELS), torch.rand(1, TIME, CHANNELS) / 10
    rates = -torch.arange(1.0, D_STATE + 1).repeat(CHANNELS, 1)
    given = [x, dt, rates, torch.randn(1, TIME, D_STATE), torch.randn(1, TIME, D_STATE)]
    given = [tensor.requires_grad_() for tensor in given]
    return lambda: selective_scan(*given, version=version)[0]


def _convolutions() -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """Ours, and torch's on a padded and transposed copy."""
    given = [torch.randn(1, TIME, CHANNELS), torch.randn(CHANNELS, 4), torch.randn(CHANNELS)]
    x, taps, bias = (tensor.requires_grad_() for tensor in given)

    def plain() -> Tensor:
        return F.conv1d(F.pad(x.mT, (3, 0)), taps.unsqueeze(1), bias, groups=CHANNELS).mT

    return lambda: causal_convolution(x, taps, bias)[0], plain


def _transformers() -> nn.Module | None:
    """Its layer in plain torch, which is what it runs on a CPU."""
    try:
        from transformers import MambaConfig
        from transformers.models.mamba.modeling_mamba import MambaMixer
    except ImportError:
        return None
    logging.getLogger("transformers").setLevel(logging.ERROR)  # it warns that it is slow: that is the point
    return MambaMixer(MambaConfig(hidden_size=D_MODEL, use_mambapy=False), layer_idx=0)


@torch.inference_mode()
def _decoding(mixer: nn.Module, steps: int = 40, runs: int = 40) -> list[float]:
    """Tokens a second after each of CONTEXTS, in turn, the best of `runs`."""
    states = []
    for context in CONTEXTS:
        state = mixer.initial_state(1, context + runs * steps)  # type: ignore[operator]
        for start in range(0, context, TIME):
            state = mixer(torch.randn(1, TIME, D_MODEL), _place(start, TIME), state)[1]
        states.append(state)
    best, x = [0.0] * len(states), torch.randn(1, 1, D_MODEL)
    for run in range(runs):
        for number, context in enumerate(CONTEXTS):
            start = time.perf_counter()
            for step in range(steps):
                place = _place(context + run * steps + step, 1)
                states[number] = mixer(x, place, states[number])[1]
            best[number] = max(best[number], steps / (time.perf_counter() - start))
    return best


def _place(start: int, time: int) -> Place:
    return Place(torch.arange(start, start + time).unsqueeze(0))
