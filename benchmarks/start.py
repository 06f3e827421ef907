"""Claims: the command line answers at once; a saved model says its first word a second after torch is loaded.

Whole processes, in turn, the median of RUNS, files warm. The model has some five million parameters.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RUNS = 5
MODEL = ["model.preset=gpt2", "model.n_layers=6", "model.d_model=256", "tokenizer.vocab_size=1024"]


def rows() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        run = str(Path(folder) / "run")
        program = [sys.executable, "-m", "firsthand"]
        settings = [*MODEL, f"run.dir={run}", "train.steps=1", "train.evaluate_tokens=256", "data.source=python"]
        subprocess.run([*program, "train", "recipes/tiny.yaml", *settings], check=True, capture_output=True)
        word = [*program, "generate", run, "--prompt", "def", "--max-tokens", "1"]
        commands = {
            "import torch": [sys.executable, "-c", "import torch"],
            "firsthand --help": [*program, "--help"],
            "firsthand generate, one token": word,
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(RUNS + 1):
            for name, command in commands.items():
                start = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                if number:
                    seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    torch = medians["import torch"]
    return [{"what": name, "seconds": value, "beyond import torch": value - torch} for name, value in medians.items()]
