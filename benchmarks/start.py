"""Claims: the command line answers at once; a saved model says its first word, and a run takes its first step, soon
after torch is loaded.

Whole processes, in turn, the median of RUNS, files warm. The model has some five million parameters. A run is watched
from outside, by when its lines come: "to the first step" ends with the line of the first step, which is included;
"after the last step" begins with that of the last and ends with the process, so the last evaluation, the last sample,
the checkpoint and the plots lie in it.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RUNS = 5
MODEL = ["model.preset=gpt2", "model.n_layers=6", "model.d_model=256", "model.n_heads=4"]
WORDS = "The king is here and the queen is there, says the fool to the night. "
TRAIN = "firsthand train"


def rows() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as name:
        folder, program = Path(name), [sys.executable, "-m", "firsthand"]
        (folder / "text.txt").write_text("".join(f"{number}. {WORDS}\n" for number in range(2000)), encoding="utf-8")
        settings = [*MODEL, f"data.source={folder / 'text.txt'}", "data.validation=tail:0.1", f"run.dir={folder}/run"]
        settings += [
            "train.steps=2",
            "train.evaluate_every=9",
            "train.sample_every=9",
            "train.save_every=9",
            "train.log_every=1",
        ]
        train = [*program, "train", "recipes/tiny.yaml", "--fresh", *settings]
        _watched(train)
        commands = {
            "import torch": [sys.executable, "-c", "import torch"],
            "firsthand --help": [*program, "--help"],
            "firsthand generate, one token": [
                *program,
                "generate",
                f"{folder}/run",
                "--prompt",
                "a",
                "--max-tokens",
                "1",
            ],
        }
        seconds: dict[str, list[float]] = {}
        for number in range(RUNS + 1):
            found = {what: _whole(command) for what, command in commands.items()} | _watched(train)
            for what, value in found.items() if number else ():
                seconds.setdefault(what, []).append(value)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    torch = medians["import torch"]
    return [
        {"what": what, "seconds": value, "beyond import torch": "-" if "after" in what else value - torch}
        for what, value in medians.items()
    ]


def _whole(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def _watched(command: list[str]) -> dict[str, float]:
    """Seconds of a run to its first step and after its last."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
        assert run.stdout is not None
        steps = [time.perf_counter() for line in run.stdout if line.startswith("step ") and " loss " in line]
    if run.returncode or not steps:
        raise RuntimeError(f"{' '.join(command)} ended with code {run.returncode}.")
    end = time.perf_counter()
    return {f"{TRAIN}, to the first step": steps[0] - start, f"{TRAIN}, after the last step": end - steps[-1]}
