"""Claim: characters of a text to nanoGPT's losses in seconds, from the start of the process to its end.

The recipes of docs/speedrun.md, five seeds each, everything included: imports, reading the text, training, the loss
over the whole held-out tenth; "in all" has the sample, the checkpoint and the plots too. Uses the file that
FIRSTHAND_BENCH_TEXT names (tiny Shakespeare, say), else the plays of the default corpus. With a checkout of nanoGPT,
its README's command for a CPU stands beside: some of its iterations, from which all 2,000 are extrapolated.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.peers import Shape, nanogpt, windows

RECIPES = tuple(f"speedrun-shakespeare{kind}" for kind in ("-short", "", "-short-open", "-open"))
SEEDS = range(5)
ITERATIONS = 2000


def rows() -> list[dict[str, Any]]:
    found = [row for recipe in RECIPES for row in of(recipe)]
    peer = nanogpt(Shape(4, 128, 4, 12, 64), compiled=False)
    if peer is None:
        return found
    seconds = windows({"nanoGPT": peer[1]}, "cpu")["nanoGPT"]
    who = f"nanoGPT's README on a CPU: {ITERATIONS} iterations, extrapolated, without evaluation"
    return [*found, {"recipe": who, "tokens/s": 12 * 64 / seconds, "seconds in all": ITERATIONS * seconds}]


def of(recipe: str) -> list[dict[str, Any]]:
    """A run for each seed, and their mean."""
    runs = [trained(f"recipes/{recipe}.yaml", seed) for seed in SEEDS]
    keys = ("validation loss", "tokens/s", "seconds to the loss", "seconds in all")
    mean = {key: statistics.fmean(run[key] for run in runs) for key in keys}
    return [*({"recipe": recipe, **run} for run in runs), {"recipe": recipe, "seed": "mean", **mean}]


def trained(recipe: str, seed: int, *settings: str) -> dict[str, Any]:
    """One `firsthand train` in a process of its own, by the clock on the wall."""
    text = os.environ.get("FIRSTHAND_BENCH_TEXT")
    source = [f"data.source={text}", "data.validation=tail:0.1"] if text else []
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "firsthand", "train", recipe, "--json", f"train.seed={seed}", *settings]
        start = time.time()
        done = subprocess.run([*command, f"run.dir={folder}/run", *source], capture_output=True, text=True, check=True)
        seconds = time.time() - start
        known = (Path(folder) / "run" / "metrics.jsonl").stat().st_mtime - start  # its last line is the loss
    summary = json.loads(done.stdout)
    return {
        "text": Path(text).name if text else "shakespeare",
        "seed": seed,
        "validation loss": summary["validation_loss"],
        "bits per byte": summary["bits_per_byte"],
        "tokens": summary["tokens"],
        "tokens/s": summary["tokens"] / summary["seconds"],
        "seconds to the loss": known,
        "seconds in all": seconds,
    }
