"""Claim: threads that spin a little and then sleep keep training fast, alone and beside other programs.

The same training step in fresh processes with several spin counts, alone and beside one other busy process,
interleaved.
"""

import os
import statistics
import subprocess
import sys
from typing import Any

STEP = """
import time
import numpy as np, torch
from firsthand import assemble, config
from firsthand.data.loader import Loader
from firsthand.data.shards import Tokens

tree = config.parse({"model": {"n_layers": 4, "d_model": 192, "n_heads": 3, "context_length": 128}}, "benchmark")
model = assemble.make_model(tree, 65)
optimizer = assemble.make_optimizer(tree, model)
objective = assemble.make_objective(tree)
loader = Loader(Tokens.of(np.random.default_rng(0).integers(0, 65, 100_000).astype(np.uint16)), 128, 3072)
times = []
end = time.perf_counter() + 4
while time.perf_counter() < end or len(times) < 3:
    start = time.perf_counter()
    (batch,) = loader.batch(len(times))
    loss = objective(model, batch)
    (loss.value / loss.count).backward()
    optimizer.step()
    optimizer.zero_grad()
    times.append(time.perf_counter() - start)
print(sorted(times)[len(times) // 2])
"""
CASES = [{"GOMP_SPINCOUNT": spins} for spins in ("10000", "0", "1000000")]


def rows() -> list[dict[str, Any]]:
    found: dict[tuple[int, bool], list[float]] = {}
    for _ in range(2):
        for busy in (False, True):
            for number in range(len(CASES)):
                found.setdefault((number, busy), []).append(_step(CASES[number], busy))
    best = statistics.median(found[0, False])
    return [
        {
            "spins before sleep": CASES[number]["GOMP_SPINCOUNT"],
            "beside a busy process": busy,
            "ms a step": 1000 * statistics.median(seconds),
            "against the first": statistics.median(seconds) / best,
        }
        for (number, busy), seconds in found.items()
    ]


def _step(settings: dict[str, str], busy: bool) -> float:
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        done = subprocess.run(
            [sys.executable, "-c", STEP], env=os.environ | settings, capture_output=True, text=True, check=True
        )
    finally:
        if other is not None:
            other.kill()
            other.wait()
    return float(done.stdout)
