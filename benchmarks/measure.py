"""How long a piece of work takes beside another, and how much memory it holds."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from firsthand.types import Place

STEPS, RUNS = 40, 40
"""Decoding is timed for so many tokens at a time, so often: machines have quiet moments, and a short turn meets one."""


def row(what: str, ours: float, other: float) -> dict[str, Any]:
    """A line about a cost."""
    return {"what": what, "ours": ours, "other": other, "gain": other / ours}


def rows_beside(
    what: str, ours: Callable[[], Tensor], others: Mapping[str, Callable[[], Tensor]], once: bool = False
) -> list[dict[str, Any]]:
    """Time and memory, forward and with the backward pass, beside each of the others.

    `once`: a single run of the latter, timed and weighed together.
    """
    found = []
    for how, backward in (("forward", False), ("forward and backward", True)):
        calls = {name: step(work, backward) for name, work in {"": ours, **others}.items()}
        single = once and backward
        seconds, peaks = _once(calls) if single else (best_seconds(calls), _peaks(calls))
        for name in others:
            title = f"{what}, against {name}: {how}"
            found.append(row(f"{title} (ms)", 1e3 * seconds[""], 1e3 * seconds[name]))
            found.append(row(f"{title} (MB)", peaks[""] / 1e6, peaks[name] / 1e6))
    return found


def step(work: Callable[[], Tensor], backward: bool = True) -> Callable[[], None]:
    """The work, and its backward pass or no gradients at all."""

    def call() -> None:
        with torch.set_grad_enabled(backward):
            out = work()
        if backward:
            torch.autograd.backward(out.sum())

    return call


def _peaks(calls: Mapping[str, Callable[[], object]]) -> dict[str, int]:
    return {name: peak_bytes(call) for name, call in calls.items()}


def _once(calls: Mapping[str, Callable[[], object]]) -> tuple[dict[str, float], dict[str, int]]:
    seconds, peaks = {}, {}
    for name, call in calls.items():
        start = time.perf_counter()
        peaks[name] = peak_bytes(call)
        seconds[name] = time.perf_counter() - start
    return seconds, peaks


def best_seconds(calls: Mapping[str, Callable[[], object]], runs: int = 4) -> dict[str, float]:
    """The best of some runs of each, all in turn, after one that is not counted."""
    best = dict.fromkeys(calls, float("inf"))
    for count in range(runs + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if count:
                best[name] = min(best[name], time.perf_counter() - start)
    return best


def peak_bytes(call: Callable[[], object]) -> int:
    """The most that torch held at once, beside what was there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    assert profiler.profiler is not None
    held = most = 0
    events = (event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]")
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def decoding(what: str, mixer: nn.Module, d_model: int, contexts: Sequence[int]) -> list[dict[str, Any]]:
    """Tokens a second after each further context beside the first."""
    first, *rates = _decoding(mixer, d_model, contexts)
    titles = [f"{what}: tokens/s after {context} and {contexts[0]}" for context in contexts[1:]]
    return [
        {"what": title, "ours": rate, "other": first, "gain": rate / first}
        for title, rate in zip(titles, rates, strict=True)
    ]


@torch.inference_mode()
def _decoding(mixer: Any, d_model: int, contexts: Sequence[int], piece: int = 1024) -> list[float]:
    """The best of RUNS turns of STEPS tokens after each context, one turn of each after another."""
    states = []
    for context in contexts:
        state = mixer.initial_state(1, context + RUNS * STEPS)
        for start in range(0, context, piece):
            state = mixer(torch.randn(1, piece, d_model), place(start, piece), state)[1]
        states.append(state)
    best, x = [0.0] * len(contexts), torch.randn(1, 1, d_model)
    for run in range(RUNS):
        for number, context in enumerate(contexts):
            began = time.perf_counter()
            for index in range(context + run * STEPS, context + (run + 1) * STEPS):
                states[number] = mixer(x, place(index, 1), states[number])[1]
            best[number] = max(best[number], STEPS / (time.perf_counter() - began))
    return best


def place(start: int, time: int) -> Place:
    """Of so many tokens in one row."""
    return Place(torch.arange(start, start + time).unsqueeze(0))
