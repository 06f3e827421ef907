"""How well a classifier does: accuracy, F1, who is taken for whom, and whether its probabilities can be believed."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

Logits = Float[Tensor, "rows classes"]
Labels = Int[Tensor, "rows"]

BINS = 10


def label_map(labels: Iterable[str]) -> dict[str, int]:
    """A number for each label, in the order of the labels themselves, whatever order they came in."""
    return {label: number for number, label in enumerate(sorted(set(labels)))}


def stratified_split(labels: Sequence[Any], fractions: Sequence[float], generator: torch.Generator) -> list[list[int]]:
    """Row numbers for each of `fractions`, every class shared out alike; a row falls on one side only.

    What rounding leaves over goes to the last side. Within a side the rows stand in the order that they came in.
    """
    assert abs(sum(fractions) - 1) < 1e-9, f"the fractions {fractions} do not add up to 1"
    sides: list[list[int]] = [[] for _ in fractions]
    for label in sorted(set(labels), key=str):
        rows = [row for row, other in enumerate(labels) if other == label]
        drawn = [rows[place] for place in torch.randperm(len(rows), generator=generator).tolist()]
        begin, share = 0, 0.0
        for side, fraction in zip(sides, fractions, strict=True):
            share += fraction
            end = len(drawn) if side is sides[-1] else round(share * len(drawn))
            side += drawn[begin:end]
            begin = end
    return [sorted(side) for side in sides]


def accuracy(logits: Logits, labels: Labels) -> float:
    """The share of rows whose largest logit is that of their class."""
    return float((logits.argmax(-1) == labels).double().mean())


def confusion(logits: Logits, labels: Labels) -> Int[Tensor, "classes classes"]:
    """How many rows of class i were taken for class j, at [i, j]."""
    classes = logits.shape[1]
    return (labels * classes + logits.argmax(-1)).bincount(minlength=classes**2).view(classes, classes)


def f1(logits: Logits, labels: Labels, positive: int) -> float:
    """The harmonic mean of precision and recall of the class `positive`; 0 where it is neither there nor found."""
    table = confusion(logits, labels)
    return _f1(table, positive)


def calibration(logits: Logits, labels: Labels, bins: int = BINS) -> list[dict[str, float]]:
    """Rows in equal bins of the probability of the class that was chosen: mean `confidence`, `accuracy`, and `rows`.

    (Guo et al. 2017, arXiv 1706.04599, section 2.) Empty bins are left out.
    """
    sure, chosen = logits.double().softmax(-1).max(-1)
    right = (chosen == labels).double()
    place = (sure * bins).ceil().clamp(1, bins).long() - 1
    return [
        {"confidence": float(sure[here].mean()), "accuracy": float(right[here].mean()), "rows": int(here.sum())}
        for number in range(bins)
        if (here := place == number).any()
    ]


def expected_calibration_error(curve: Sequence[dict[str, float]]) -> float:
    """The mean distance between confidence and accuracy over all rows (the same paper, equation 3)."""
    rows = sum(point["rows"] for point in curve)
    return sum(point["rows"] * abs(point["confidence"] - point["accuracy"]) for point in curve) / rows


def report(logits: Logits, labels: Labels, names: Sequence[str], positive: str | None = None) -> dict[str, Any]:
    """All of the above for classes called `names`. `positive`: the class that a single F1 is asked of."""
    table = confusion(logits, labels)
    scores = {name: _f1(table, number) for number, name in enumerate(names)}
    curve = calibration(logits, labels)
    found = {
        "rows": len(labels),
        "nats": float(torch.nn.functional.cross_entropy(logits, labels)),
        "accuracy": accuracy(logits, labels),
        "majority": float(table.sum(1).max() / table.sum()),
        "macro_f1": sum(scores.values()) / len(scores),
        "f1": scores,
        "confusion": {"classes": list(names), "true_by_predicted": table.tolist()},
        "expected_calibration_error": expected_calibration_error(curve),
        "calibration": curve,
    }
    return found | ({"positive": positive, "positive_f1": scores[positive]} if positive else {})


def _f1(table: Int[Tensor, "classes classes"], positive: int) -> float:
    both = float(table[positive].sum() + table[:, positive].sum())
    return 2 * float(table[positive, positive]) / both if both else 0.0
