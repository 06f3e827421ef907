"""Name the class of a text: our own GPT and a larger one with LoRA, beside a bag of words and the majority."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from firsthand import config as config_module
from firsthand.data.records.schema import Labelled
from firsthand.data.records.sources import Reading
from firsthand.evaluate.classes import label_map, report
from firsthand.experiments.demonstrations.bag_of_words import available, bag_of_words
from firsthand.experiments.demonstrations.contestants import Contestant, tune
from firsthand.experiments.labels import labelled_sides
from firsthand.experiments.watch import Show

DATA = ("data.kind=labels", "train.objective={part: classify, class_weights: balanced}", "data.row_tokens=128")
FULL: tuple[str, ...] = ("train.epochs=3", "data.batch_tokens=4096", "train.optimizer={part: adamw, lr: 1.0e-3}")
LORA: tuple[str, ...] = (
    "adapt.adapter={part: lora, rank: 16, alpha: 32.0, targets: all}",
    "train.epochs=1",
    "data.batch_tokens=2048",
    "train.optimizer={part: adamw, lr: 5.0e-4}",
)
FIGURES = ("accuracy", "macro_f1", "positive_f1", "expected_calibration_error")


def run_classes(
    source: str, contestants: Sequence[Contestant], seeds: int, out: Path, show: Show, more: Sequence[str] = ()
) -> dict[str, Any]:
    """Train every contestant with seeds 0, 1, …, and judge all of them on the same test texts; also report.json.

    Returns, by name, each figure's mean (and deviation, with several seeds), and the seconds of training.
    """
    settings = (*DATA, f"data.source={source}")
    sides = labelled_sides(config_module.load(None, list(settings)), Reading())
    rows = _rivals(sides, show)
    for contestant in contestants:
        found = []
        for seed in range(seeds):
            config, summary = tune(contestant, settings, seed, out, show, more)
            judged = json.loads((config.run.folder / "report.json").read_text(encoding="utf-8"))["test"]
            found.append({**{key: judged[key] for key in FIGURES if key in judged}, "seconds": summary["seconds"]})
        rows[contestant.name] = summarised(found)
    outcome = {
        "source": source,
        "texts": {side: len(records) for side, records in sides.items()},
        "labels": list(label_map(record.label for record in sides["train"])),
        "seeds": seeds,
        "test": rows,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(outcome, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return outcome


def summarised(found: Sequence[dict[str, float]]) -> dict[str, Any]:
    """The mean of each figure over seeds, and its standard deviation as "…_sd" where there are several."""
    row: dict[str, Any] = {}
    for key in found[0]:
        values = [one[key] for one in found]
        row[key] = mean(values)
        if len(values) > 1:
            row[f"{key}_sd"] = stdev(values)
    return row


def _rivals(sides: dict[str, list[Labelled]], show: Show) -> dict[str, dict[str, Any]]:
    labels = label_map(record.label for record in sides["train"])
    truth = torch.tensor([labels[record.label] for record in sides["test"]])
    counts = torch.tensor([labels[record.label] for record in sides["train"]]).bincount(minlength=len(labels))
    positive = list(labels)[int(counts.argmin())] if len(labels) == 2 else None
    logits = {"majority class": (counts / counts.sum()).log().expand(len(truth), -1)}
    if available():
        show.note("the rival: TF-IDF and logistic regression")
        logits["TF-IDF + logistic regression"] = bag_of_words(sides["train"], sides["validation"], sides["test"])
    else:
        show.note("no bag of words: scikit-learn is not installed (pip install 'firsthand[eval]')")
    judged = {name: report(rows, truth, list(labels), positive) for name, rows in logits.items()}
    return {name: {key: found[key] for key in FIGURES if key in found} for name, found in judged.items()}
