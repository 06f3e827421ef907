"""How good is a classifier? One number hides who is taken for whom."""

from collections.abc import Iterable

from torch import Tensor


def label_map(labels: Iterable[str]) -> dict[str, int]:
    """A number 0, 1, 2, ... for each label that occurs, in alphabetical order, whatever order they come in."""
    raise NotImplementedError


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """logits (rows, classes), labels (rows): the share of rows whose largest logit stands at their label."""
    raise NotImplementedError


def confusion(logits: Tensor, labels: Tensor) -> Tensor:
    """int64 (classes, classes): how often each class (row) was taken for each class (column)."""
    raise NotImplementedError


def f1(logits: Tensor, labels: Tensor, positive: int) -> float:
    """F1 of the class `positive`: 2 P R / (P + R).

    P, precision: of the rows taken for it, the share that are. R, recall: of the rows that are, the share taken for it.
    0.0 where no row is, and none is taken, of that class.
    """
    raise NotImplementedError
