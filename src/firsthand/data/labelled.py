"""Texts with a class each, as batches whose only target stands at the last token of each text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from firsthand.errors import UserError
from firsthand.types import IGNORE, Batch, Place

POOL = 16
"""Batches are cut from so many at once, sorted by length, so that rows of one batch need little padding."""


@dataclass(frozen=True)
class Examples:
    """Texts as token ids, one after another: text i is `ids[starts[i] : starts[i + 1]]`, of class `labels[i]`."""

    ids: Tensor
    starts: Tensor
    labels: Tensor

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], labels: Sequence[int]) -> "Examples":
        starts = np.cumsum([0, *(len(row) for row in rows)])
        ids = torch.tensor([token for row in rows for token in row], dtype=torch.int32)
        return cls(ids, torch.from_numpy(starts), torch.tensor(labels, dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.labels)

    def some(self, tokens: int | None, longest: int) -> "Examples":
        """Texts from all over, with at most about so many `tokens` when none is read beyond `longest`; None: all."""
        lengths = self.lengths(longest)
        every = 1 if tokens is None else -(-int(lengths.sum()) // tokens)
        if every == 1:
            return self
        chosen = range(0, len(self), every)
        rows = [self.ids[self.starts[row] : self.starts[row + 1]].tolist() for row in chosen]
        return Examples.of(rows, self.labels[::every].tolist())

    def lengths(self, at_most: int) -> Tensor:
        return self.starts.diff().clamp_max(at_most)

    def batch(self, rows: Sequence[int], at_most: int, device: torch.device | str = "cpu") -> Batch:
        """These texts side by side, of each its first `at_most` tokens, padded behind.

        Padding needs no mask: no token looks at what comes after it, and only a text's last token has a target.
        """
        lengths = self.lengths(at_most)[list(rows)].tolist()
        inputs = torch.zeros(len(rows), max(lengths), dtype=torch.int64)
        targets = torch.full_like(inputs, IGNORE)
        for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            start = int(self.starts[row])
            inputs[place, :length] = self.ids[start : start + length]
            targets[place, length - 1] = self.labels[row]
        inputs = inputs.to(device)
        return Batch(inputs, targets.to(device), Place.of(inputs))


class ExampleLoader:
    """Batch k is a function of the examples, the seed and k alone. A step has batch_tokens / row_tokens texts, of
    which it reads at most `row_tokens` each, over all ranks.

    Every epoch has its own order; what is left of an epoch that makes no whole step is left out of that one.
    """

    def __init__(
        self,
        examples: Examples,
        row_tokens: int,
        batch_tokens: int,
        seed: int = 0,
        microbatches: int = 1,
        rank: int = 0,
        world: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        rows = min(max(1, batch_tokens // row_tokens), len(examples) // microbatches * microbatches)
        if not rows or rows % microbatches or microbatches % world:
            raise UserError(
                f"A step of {rows} texts cannot be divided into train.microbatches={microbatches} over {world} ranks."
            )
        self.examples, self.row_tokens, self.rows, self.seed = examples, row_tokens, rows, seed
        self.microbatches = microbatches // world
        self._rank, self._world, self._device = rank, world, device
        self.steps_per_epoch, self.rows_per_epoch = len(examples) // rows, len(examples)
        self._epoch = -1
        self._order: list[list[int]] = []

    def batch(self, step: int) -> list[Batch]:
        """This rank's microbatches of a step."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._order, self._epoch = self._shuffled(epoch), epoch
        rows, parts = self._order[place], self.microbatches * self._world
        mine = range(self._rank * self.microbatches, (self._rank + 1) * self.microbatches)
        return [self.examples.batch(rows[part::parts], self.row_tokens, self._device) for part in mine]

    def _shuffled(self, epoch: int) -> list[list[int]]:
        """The rows of each step of an epoch: drawn, sorted by length in pools, cut, and the batches drawn again."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % 2**63)
        drawn = torch.randperm(len(self.examples), generator=generator)
        lengths = self.examples.lengths(self.row_tokens)
        batches: list[list[int]] = []
        end = self.steps_per_epoch * self.rows
        for start in range(0, end, POOL * self.rows):
            pool = drawn[start : min(end, start + POOL * self.rows)]
            in_order = pool[lengths[pool].argsort(stable=True)].tolist()
            batches += [in_order[first : first + self.rows] for first in range(0, len(in_order), self.rows)]
        return [batches[place] for place in torch.randperm(len(batches), generator=generator).tolist()]


def in_order(
    examples: Examples, row_tokens: int, rows: int, device: torch.device | str = "cpu"
) -> Iterator[tuple[list[int], Batch]]:
    """Every text once, the short ones first, with its row number."""
    order = examples.lengths(row_tokens).argsort(stable=True).tolist()
    for start in range(0, len(order), rows):
        part = order[start : start + rows]
        yield part, examples.batch(part, row_tokens, device)
