"""Claim: training is as fast on ten gigabytes of tokens as on one megabyte.

The same small model and batches; the corpus is written to a folder as shards, so large ones are memory-mapped. Batches
are timed alone, 200 after the system was asked to forget the files and 200 more; then steps, in turn over all sizes.
"band" is how far the first size's own windows lie apart (half the distance of the quartiles): what is less is no
difference. "resident" is what opening the corpus and 400 batches added to the memory of a fresh process, mapped pages
of the files left out. Sizes that would fill a third of the free disk are left out.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import Shape, Step, ours, stepper
from firsthand.data.loader import Loader
from firsthand.data.shards import Tokens
from firsthand.data.write import write_shards

MEGABYTES = (1, 100, 1_000, 10_000)
SHAPE = Shape(2, 128, 2, rows=32, time=128)
DOCUMENT = 1 << 20


WINDOWS, STEPS = 25, 4


def rows(sizes: Sequence[int] = MEGABYTES, windows: int = WINDOWS) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        room = shutil.disk_usage(folder).free
        corpora = {size: _corpus(size, Path(folder) / str(size)) for size in sizes if 3e6 * size < room}
        loaders = {size: Loader(corpus, SHAPE.time, SHAPE.tokens) for size, corpus in corpora.items()}
        for size in corpora:
            _forget(Path(folder) / str(size))
        cold = {size: _batch_seconds(loader, 0) for size, loader in loaders.items()}
        warm = {size: _batch_seconds(loader, 200) for size, loader in loaders.items()}
        memory = {size: _resident(Path(folder) / str(size)) for size in corpora}
        loop = ours(SHAPE, {"preset": "gpt2", "dropout": 0.0}, "adamw")
        loops = {size: stepper(replace(loop, batches=loader)) for size, loader in loaders.items()}
        seconds = _in_turn(loops, windows)
    first = statistics.median(seconds[sizes[0]])
    low, _, high = statistics.quantiles(seconds[sizes[0]], n=4)
    return [
        {
            "corpus (MB)": size,
            "a batch, cold (us)": 1e6 * cold[size],
            "a batch, warm (us)": 1e6 * warm[size],
            "resident (MB)": memory[size] / 1e6,
            "tokens/s": SHAPE.tokens / statistics.median(seconds[size]),
            "over the first": first / statistics.median(seconds[size]),
            "band": (high - low) / (2 * first),
        }
        for size in corpora
    ]


def _in_turn(loops: Mapping[int, Step], windows: int) -> dict[int, list[float]]:
    """Seconds of a step of CPU time, window by window; the order turns, so that none always comes after another."""
    seconds: dict[int, list[float]] = {size: [] for size in loops}
    order = list(loops)
    for number in range(windows + 1):
        for size in order[number % len(order) :] + order[: number % len(order)]:
            start = time.process_time()
            for _ in range(STEPS):
                loops[size]()
            if number:
                seconds[size].append((time.process_time() - start) / STEPS)
    return seconds


RESIDENT = """
import sys
from firsthand.data.loader import Loader
from firsthand.data.shards import Tokens

def resident():
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("RssAnon"))

before = resident()
loader = Loader(Tokens.open(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
for step in range(400):
    loader.batch(step)
print(resident() - before)
"""


def _resident(folder: Path) -> float:
    """Bytes, or not a number where the system does not say."""
    if sys.platform != "linux":
        return float("nan")
    command = [sys.executable, "-c", RESIDENT, str(folder), str(SHAPE.time), str(SHAPE.tokens)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _forget(folder: Path) -> None:
    """Ask the system to drop the files' pages, which it may do for whoever has just written them to the disk."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _corpus(megabytes: int, folder: Path) -> Tokens:
    """Random ids, two bytes each, in documents of two megabytes."""

    def documents() -> Iterator[Any]:
        random = np.random.default_rng(0)
        block = random.integers(0, SHAPE.vocab_size, DOCUMENT).astype(np.uint16)
        left = megabytes * 500_000
        while left > 0:
            yield np.roll(block, int(random.integers(DOCUMENT)))[:left]
            left -= DOCUMENT

    return write_shards(documents(), folder, SHAPE.vocab_size, None)


def _batch_seconds(loader: Loader, first: int) -> float:
    """The median over 200 batches."""
    seconds = []
    for step in range(first, first + 200):
        start = time.perf_counter()
        loader.batch(step)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
