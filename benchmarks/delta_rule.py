"""Claims: the chunked delta rule beats its definition and `transformers` in time and memory; decoding stays flat.

One layer's memory in fp32: 8 heads of 64, 1,024 tokens, with decay. Time is the best of some runs, all versions in
turn; memory is the most that torch held at once beside the inputs, in a run of its own. A row gives ours, the other
and the gain. The last rows decode with the mixers (d_model 512) after 1,024 and after 65,536 tokens.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.measure import best_seconds, peak_bytes
from firsthand.model.mixers.delta import DeltaNet
from firsthand.model.mixers.gated_delta import GatedDeltaNet
from firsthand.ops.delta_rule import delta_rule
from firsthand.types import Place

HEADS, TIME, D_HEAD = 8, 1024, 64
CONTEXTS = (1024, 65536)


def rows() -> list[dict[str, Any]]:
    torch.manual_seed(0)
    inputs = _inputs()
    others = {"the definition": _version(inputs, "reference"), "token by token": _version(inputs, "recurrent")}
    theirs = _transformers(inputs)
    if theirs is not None:
        others["transformers"] = theirs
    works = {"chunked": _version(inputs, "chunked"), **others}
    found = []
    for what, backward in (("forward", False), ("forward and backward", True)):
        calls = {name: _call(work, backward) for name, work in works.items()}
        seconds, peaks = best_seconds(calls), {name: peak_bytes(call) for name, call in calls.items()}
        for name in others:
            found.append(_row(f"{what} (ms): {name}", 1e3 * seconds["chunked"], 1e3 * seconds[name]))
            found.append(_row(f"{what}, memory (MB): {name}", peaks["chunked"] / 1e6, peaks[name] / 1e6))
    for kind in (DeltaNet, GatedDeltaNet):
        near, far = _decoding(kind(512, 8).eval())
        found.append(
            {"what": f"{kind.__name__}, tokens/s after 64k and 1k", "ours": far, "other": near, "gain": far / near}
        )
    return found


def _row(what: str, ours: float, other: float) -> dict[str, Any]:
    return {"what": what, "ours": ours, "other": other, "gain": other / ours}


def _inputs() -> list[Tensor]:
    """Query, key, value, beta and decay."""
    query, key = (F.normalize(torch.randn(1, HEADS, TIME, D_HEAD), dim=-1) for _ in range(2))
    beta, decay = torch.rand(1, HEADS, TIME), -torch.rand(1, HEADS, TIME) / 8
    return [x.requires_grad_() for x in (query, key, torch.randn(1, HEADS, TIME, D_HEAD), beta, decay)]


def _version(inputs: list[Tensor], version: str) -> Callable[[], Tensor]:
    query, key, value, beta, decay = inputs
    return lambda: delta_rule(query, key, value, beta, decay, version=version)[0]


def _transformers(inputs: list[Tensor]) -> Callable[[], Tensor] | None:
    """Qwen3-Next's chunked function in plain torch, which is what it runs on a CPU."""
    try:
        from transformers.models.qwen3_next.modeling_qwen3_next import torch_chunk_gated_delta_rule
    except ImportError:
        return None
    query, key, value, beta, decay = (x.detach().transpose(1, 2).contiguous().requires_grad_() for x in inputs)
    return lambda: torch_chunk_gated_delta_rule(query, key, value, decay, beta)[0]


def _call(work: Callable[[], Tensor], backward: bool) -> Callable[[], None]:
    def call() -> None:
        with torch.set_grad_enabled(backward):
            out = work()
        if backward:
            out.sum().backward()  # type: ignore[no-untyped-call]

    return call


@torch.no_grad()
def _decoding(mixer: nn.Module, steps: int = 600) -> list[float]:
    """Tokens a second after each of CONTEXTS: the median step of each, one step in turn."""
    states: list[Any] = []
    seconds: list[list[float]] = [[] for _ in CONTEXTS]
    for context in CONTEXTS:
        state = mixer.initial_state(1, context + steps)  # type: ignore[operator]
        states.append(mixer(torch.randn(1, context, 512), _place(0, context), state)[1])
    x = torch.randn(1, 1, 512)
    for step in range(steps):
        for number, context in enumerate(CONTEXTS):
            place = _place(context + step, 1)
            start = time.perf_counter()
            _, states[number] = mixer(x, place, states[number])
            seconds[number].append(time.perf_counter() - start)
    return [1 / statistics.median(taken) for taken in seconds]


def _place(start: int, time: int) -> Place:
    return Place(torch.arange(start, start + time).unsqueeze(0))
