"""How many CPU threads write text. A step of decoding is short, and more threads are not always faster."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from firsthand.errors import UserError
from firsthand.generate.decode import generate
from firsthand.model.language_model import LanguageModel

TRIES = 4
"""Steps that are timed with each number of threads; the fastest counts."""

logger = logging.getLogger(__name__)


@contextmanager
def with_threads(model: LanguageModel, threads: int | None = None, rows: int = 1) -> Iterator[int]:
    """Inside, torch computes with so many threads; afterwards with as many as before. None: what a trial finds best.

    The trial writes a few tokens in `rows` rows with 1, 2, 4, ... threads, up to torch's own choice, and is logged.
    Small models on many cores lose more to waiting than they gain; and beside other programs a second thread often
    waits for its turn. UserError if `threads` is less than 1.
    """
    check_threads(threads)
    before = torch.get_num_threads()
    try:
        chosen = fastest(model, rows) if threads is None else threads
        torch.set_num_threads(chosen)
        yield chosen
    finally:
        torch.set_num_threads(before)


def check_threads(threads: int | None) -> None:
    """UserError if there cannot be so many."""
    if threads is not None and threads < 1:
        raise UserError(
            f"threads = {threads} makes no sense: it must be 1 or more; leave it out to let a trial decide."
        )


def fastest(model: LanguageModel, rows: int = 1) -> int:
    """The number of threads with which a step takes the least time. It leaves torch with the last one tried."""
    most = torch.get_num_threads()
    if next(model.parameters()).device.type != "cpu" or most == 1:
        return most
    counts = [count for count in (1 << power for power in range(16)) if count < most] + [most]
    seconds = {count: _step_seconds(model, rows, count) for count in counts}
    best = min(counts, key=lambda count: seconds[count])
    said = ", ".join(f"{count}: {1000 * taken:.1f} ms" for count, taken in seconds.items())
    logger.info("a step by number of threads: %s; generating with %d", said, best)
    return best


def _step_seconds(model: LanguageModel, rows: int, threads: int) -> float:
    torch.set_num_threads(threads)
    steps = generate(model, [[0]] * rows, min(TRIES + 1, model.context_length), temperature=0.0)
    seconds = []
    while not all(steps.finish):
        start = time.perf_counter()
        next(steps)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:] or seconds)  # the first reads the prompt, and wakes the threads
