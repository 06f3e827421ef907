"""Classes by their names: their numbers, and all figures of a classifier at once."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from firsthand.evaluate.report import accuracy, calibration, confusion, f1, macro_f1, per_class


def label_map(labels: Iterable[str]) -> dict[str, int]:
    """A number for each label, in the order of the labels themselves, whatever order they came in."""
    return {label: number for number, label in enumerate(sorted(set(labels)))}


def report(
    logits: Float[Tensor, "rows classes"],
    labels: Int[Tensor, " rows"],
    names: Sequence[str],
    positive: str | None = None,
) -> dict[str, Any]:
    """Every figure of evaluate/report.py for classes called `names`. `positive`: the class a single F1 is asked of.

    `majority`: the accuracy of always naming the most frequent class. `calibration`: a point for each bin with rows.
    """
    table = confusion(logits, labels)
    scores = {name: score.f1 for name, score in zip(names, per_class(logits, labels), strict=True)}
    curve = calibration(logits, labels)
    points = zip(curve.confidence, curve.accuracy, curve.count, strict=True)
    found = {
        "rows": len(labels),
        "nats": float(torch.nn.functional.cross_entropy(logits, labels)),
        "accuracy": accuracy(logits, labels),
        "majority": float(table.sum(1).max() / table.sum()),
        "macro_f1": macro_f1(logits, labels),
        "f1": scores,
        "confusion": {"classes": list(names), "true_by_predicted": table.tolist()},
        "expected_calibration_error": curve.error,
        "calibration": [
            {"confidence": sure, "accuracy": right, "rows": count} for sure, right, count in points if count
        ],
    }
    if positive is None:
        return found
    return found | {"positive": positive, "positive_f1": f1(logits, labels, list(names).index(positive))}
