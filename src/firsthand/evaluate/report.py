"""How well a classifier does: accuracy, F1, who is taken for whom, and whether its probabilities can be believed.

`logits` may be anything whose largest column is the prediction, so probabilities too (only `calibration` needs logits).
A row whose label is IGNORE counts nowhere.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from firsthand.types import IGNORE


def accuracy(logits: Float[Tensor, "rows classes"], labels: Int[Tensor, " rows"]) -> float:
    """The share of rows whose largest logit stands at their label. NaN without rows."""
    logits, labels = _labelled(logits, labels)
    return float((logits.argmax(-1) == labels).double().mean())


def confusion(logits: Float[Tensor, "rows classes"], labels: Int[Tensor, " rows"]) -> Int[Tensor, "classes classes"]:
    """How often each class (row) was taken for each class (column)."""
    logits, labels = _labelled(logits, labels)
    classes = logits.shape[-1]
    pairs = labels * classes + logits.argmax(-1)
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes)


@dataclass(frozen=True)
class ClassScore:
    """Of one class: `precision`, of the rows said to be of it; `recall`, of the rows that are; `support`, how many
    are. What would be divided by zero is zero."""

    precision: float
    recall: float
    f1: float
    support: int


def per_class(logits: Float[Tensor, "rows classes"], labels: Int[Tensor, " rows"]) -> list[ClassScore]:
    """Precision, recall and F1 of every class, as one against the rest."""
    table = confusion(logits, labels)
    right, said, there = table.diagonal().tolist(), table.sum(0).tolist(), table.sum(1).tolist()
    return [
        ClassScore(r / s if s else 0.0, r / t if t else 0.0, 2 * r / (s + t) if s + t else 0.0, t)
        for r, s, t in zip(right, said, there, strict=True)
    ]


def f1(logits: Float[Tensor, "rows classes"], labels: Int[Tensor, " rows"], positive: int) -> float:
    """F1 of the class `positive`: the harmonic mean of its precision and recall; 0 where no row is or is said to be
    of it (van Rijsbergen 1979)."""
    return per_class(logits, labels)[positive].f1


def macro_f1(logits: Float[Tensor, "rows classes"], labels: Int[Tensor, " rows"]) -> float:
    """The mean of F1 over the classes that have rows, or that rows were taken for."""
    table = confusion(logits, labels)
    seen = (table.sum(0) + table.sum(1) > 0).tolist()
    scores = [score.f1 for score, there in zip(per_class(logits, labels), seen, strict=True) if there]
    return sum(scores) / len(scores) if scores else 0.0


@dataclass(frozen=True)
class Calibration:
    """Rows by the probability of their prediction. Of bin i, which ends at (i + 1) / bins: `confidence`, the mean
    probability; `accuracy`, the share that was right; `count`. Empty bins have None. `error`: see `calibration`."""

    confidence: list[float | None]
    accuracy: list[float | None]
    count: list[int]
    error: float


def calibration(logits: Float[Tensor, "rows classes"], labels: Int[Tensor, " rows"], bins: int = 10) -> Calibration:
    """Is a class said with probability 0.8 right in 80 of 100 rows?

    `error` is the expected calibration error: |accuracy - confidence|, averaged over bins of equal width by their
    counts (Guo et al. 2017, section 2).
    """
    logits, labels = _labelled(logits, labels)
    probability, said = logits.double().softmax(-1).max(-1)
    right = (said == labels).double()
    bin = (probability * bins).ceil().long().clamp(1, bins) - 1  # (0, 1/bins] is the first: a border belongs below
    count = torch.bincount(bin, minlength=bins).tolist()
    confidence = torch.bincount(bin, probability, minlength=bins).tolist()
    hits = torch.bincount(bin, right, minlength=bins).tolist()
    error = sum(abs(hit - sure) for hit, sure in zip(hits, confidence, strict=True)) / max(1, len(labels))
    means = [[total / n if n else None for total, n in zip(sums, count, strict=True)] for sums in (confidence, hits)]
    return Calibration(means[0], means[1], count, error)


def _labelled(
    logits: Float[Tensor, "rows classes"], labels: Int[Tensor, " rows"]
) -> tuple[Float[Tensor, "labelled classes"], Int[Tensor, " labelled"]]:
    keep = labels != IGNORE
    return logits[keep].cpu(), labels[keep].long().cpu()
