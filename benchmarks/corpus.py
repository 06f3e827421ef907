"""Claim: training is as fast on ten gigabytes of tokens as on one megabyte.

The same small model and batches; the corpus is written to a folder as shards, so large ones are memory-mapped. "loader"
times batches alone, "cold" the first 200 after opening, "warm" the next 200; steps are timed in turn over all sizes.
"""

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import Shape, ours, stepper, windows
from firsthand.data.loader import Loader
from firsthand.data.shards import Tokens, write_shards

MEGABYTES = (1, 100, 1_000, 10_000)
SHAPE = Shape(2, 128, 2, rows=32, time=128)
DOCUMENT = 1 << 20


def rows() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        room = shutil.disk_usage(folder).free
        sizes = [size for size in MEGABYTES if 3e6 * size < room]
        corpora = {size: _corpus(size, Path(folder) / str(size)) for size in sizes}
        loaders = {size: Loader(corpus, SHAPE.time, SHAPE.tokens) for size, corpus in corpora.items()}
        cold = {size: _batch_seconds(loader, 0) for size, loader in loaders.items()}
        warm = {size: _batch_seconds(loader, 200) for size, loader in loaders.items()}
        loop = ours(SHAPE, {"preset": "gpt2", "dropout": 0.0}, "adamw")
        loops = {size: stepper(replace(loop, batches=loader)) for size, loader in loaders.items()}
        steps = windows({str(size): step for size, step in loops.items()}, count=15, steps=10)
    return [
        {
            "corpus (MB)": size,
            "a batch, cold (us)": 1e6 * cold[size],
            "a batch, warm (us)": 1e6 * warm[size],
            "tokens/s": SHAPE.tokens / steps[str(size)],
            "over the first": steps[str(sizes[0])] / steps[str(size)],
        }
        for size in sizes
    ]


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
