"""How long a piece of work takes beside another, and how much memory it holds."""

import time
from collections.abc import Callable, Mapping

from torch.profiler import ProfilerActivity, profile


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
