"""Runs that were never trained: folders with made-up but plausible figures. And a recipe for one that is."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from .small_run import LINES, RECIPE

CONFIG = "run:\n  name: {name}\ntrain:\n  seed: 0\n  optimizer:\n    part: muon\n    lr: {lr}\n"


def write_run(folder: Path, steps: int = 400, lr: float = 0.02, tail: str = "") -> Path:
    """The folder of a run with a training line every two steps and an evaluation every hundred."""
    noise = np.random.default_rng(steps).normal(0, 0.03, steps + 1)
    lines = []
    for step in range(0, steps + 1, 2):
        loss = 3 + 3 * math.exp(-step / 30) + 1 / (1 + step / 60) + noise[step]
        stamp = {"step": step, "tokens": step * 8192, "seconds": 2 + step * 0.1}
        more = {"grad_norm": 0.5 + abs(noise[step]), "lr": lr, "tokens_per_second": 80_000.0, "peak_share": 0.5}
        lines.append(stamp | {"loss": loss} | more)
        if step and step % 100 == 0:
            lines.append(stamp | {"validation_loss": loss + 0.2, "bits_per_byte": (loss + 0.2) * 0.6})
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + tail)
    (folder / "config.yaml").write_text(CONFIG.format(name=folder.name, lr=lr))
    (folder / "status.json").write_text(json.dumps({"state": "finished", "pid": 1}))
    return folder


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    return write_run


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(LINES) * 6, encoding="utf-8")
    return path


@pytest.fixture
def recipe(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE | {"data": RECIPE["data"] | {"source": str(text)}}))
    return path
