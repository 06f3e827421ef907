"""Use all cores for a stream, keep its order, and hold only a few of its items at a time."""

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

PATIENCE = 5.0
"""Seconds of work after which starting processes (each imports torch) pays."""
_AHEAD = 2


def ordered_map(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int | None = None,
    note: Callable[[str], None] = lambda message: None,
) -> Iterator[Result]:
    """`work` of each item, in order; `work`, items and results must be picklable.

    `workers` processes: 1 works here, None begins here and goes over to one process a core once the work has taken
    PATIENCE seconds. If the processes die, `note` is told and the rest is done here: the results are the same.
    """
    items = iter(items)
    if workers is None:
        workers = _cores()
        if workers > 1:
            yield from _for_a_while(work, items)
    if workers > 1:
        yield from _in_processes(work, items, workers, note)
    yield from map(work, items)


def _for_a_while(work: Callable[[Item], Result], items: Iterator[Item]) -> Iterator[Result]:
    spent = 0.0
    for item in items:
        start = time.perf_counter()
        result = work(item)
        spent += time.perf_counter() - start
        yield result
        if spent > PATIENCE:
            return


def _in_processes(
    work: Callable[[Item], Result], items: Iterator[Item], workers: int, note: Callable[[str], None]
) -> Iterator[Result]:
    first = next(items, None)
    if first is None:
        return
    held: deque[Item] = deque()  # given to the processes and not yet answered
    futures: deque[Future[Result]] = deque()
    # spawn, because forking a process that has threads (torch's, a progress bar's) can hang
    executor = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_ignore_interrupts)
    try:
        for item in chain([first], items):
            held.append(item)
            futures.append(executor.submit(work, item))
            if len(held) > _AHEAD * workers:
                yield _oldest(held, futures)
        while held:
            yield _oldest(held, futures)
    except BrokenProcessPool:
        note(
            "The worker processes died (out of memory, or a script without `if __name__ == '__main__':`), so one "
            "process did the rest."
        )
        yield from map(work, held)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _oldest(held: deque[Item], futures: deque[Future[Result]]) -> Result:
    result = futures[0].result()
    futures.popleft()
    held.popleft()
    return result


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
