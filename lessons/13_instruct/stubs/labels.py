"""From ids and marks to what a loss takes."""

# ruff: noqa: F401 - what is imported here is for the holes below

from collections.abc import Sequence

from firsthand.errors import UserError
from firsthand.types import IGNORE


def mask_labels(ids: Sequence[int], learn: Sequence[bool]) -> Sequence[int]:
    """The target of each id but the last: the id after it if that one is learnt, else IGNORE (-100).

    A list or an array, one shorter than ids.
    """
    raise NotImplementedError


def pad_batch(
    rows: Sequence[tuple[Sequence[int], Sequence[int]]], length: int, pad_id: int = 0
) -> tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]]:
    """Rows of (inputs, targets), each as long as it is, as two rectangles of `length` columns.

    Behind the end of a row inputs are `pad_id` and targets IGNORE. UserError if a row is longer than that: the end of
    it is the answer, and must not be cut. Lists, arrays or tensors.
    """
    raise NotImplementedError
