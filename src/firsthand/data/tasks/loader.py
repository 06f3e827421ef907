"""Batches of a task: batch k is a pure function of (seed, k), as with text."""

import torch
from torch import Generator

from firsthand.data.permutation import keys
from firsthand.data.tasks import Task
from firsthand.types import Batch, Place


class TaskLoader:
    """Each batch has one of `sizes`, drawn at random, and about `batch_tokens` tokens."""

    microbatches = 1

    def __init__(self, task: Task, sizes: list[int], batch_tokens: int, seed: int = 0) -> None:
        self._task, self._sizes, self._batch_tokens, self._seed = task, sizes, batch_tokens, seed

    def batch(self, step: int) -> list[Batch]:
        generator = _generator("task", self._seed, step)
        size = self._sizes[int(torch.randint(len(self._sizes), (), generator=generator))]
        rows = max(1, self._batch_tokens // self._task.length(size))
        return [_batch(self._task, rows, size, generator)]


def examination(task: Task, size: int, rows: int) -> Batch:
    """Rows that no TaskLoader gives: the same for every model that is examined."""
    return _batch(task, rows, size, _generator("examination", size))


def _batch(task: Task, rows: int, size: int, generator: Generator) -> Batch:
    ids, targets = task.rows(rows, size, generator)
    return Batch(ids, targets, Place.of(ids))


def _generator(*key: str | int) -> Generator:
    (number,) = keys(*key, count=1)
    return Generator().manual_seed(int(number) >> 1)  # torch takes 63 bits
