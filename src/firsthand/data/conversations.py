"""From conversations to batches. Batch k is a pure function of (conversations, seed, k), as in `data/loader.py`."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from firsthand.data.loader import rows_of
from firsthand.data.rows import Packing
from firsthand.data.shards import Tokens
from firsthand.data.write import write_shards
from firsthand.errors import UserError
from firsthand.tokens.chat import Encoded
from firsthand.types import IGNORE, Batch, Place


class Conversations:
    """Conversations as ids, and which of them are learnt. `lengths`: how many inputs each has, its ids but the last."""

    def __init__(self, ids: Tokens, learn: Tokens) -> None:
        assert len(ids) == len(learn), "one mark an id"
        self.ids, self._learn = ids, learn
        self._starts = np.append(ids.document_starts, len(ids))
        self.lengths = np.diff(self._starts) - 1

    @classmethod
    def open(cls, folder: Path) -> "Conversations":
        """What `write` wrote. UserError if there is nothing, DamagedError if it is not what was written."""
        return cls(Tokens.open(folder / "ids"), Tokens.open(folder / "learn"))

    @classmethod
    def of(cls, encoded: Iterable[Encoded]) -> "Conversations":
        """Conversations that are in memory already."""
        ids, learn = (
            [np.array(part, np.int64) for part in parts]
            for parts in zip(*((one.ids, one.learn) for one in encoded), strict=True)
        )
        starts = np.cumsum([0, *(len(part) for part in ids[:-1])])
        return cls(*(Tokens.of(np.concatenate(parts), starts) for parts in (ids, learn)))

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def targets(self) -> int:
        """How many ids are learnt. (The first of a conversation never is: nothing stands before it.)"""
        return int(self._learn.slice(0, len(self._learn)).sum())

    def pair(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The inputs and targets of a conversation; IGNORE where nothing is learnt."""
        start, stop = int(self._starts[number]), int(self._starts[number + 1])
        ids = self.ids.slice(start, stop).astype(np.int64)
        return ids[:-1], mask_labels(ids, self._learn.slice(start, stop))


def mask_labels(ids: Sequence[int] | NDArray[Any], learn: Sequence[bool] | NDArray[Any]) -> NDArray[np.int64]:
    """The targets of a conversation: for each id but the last the one after it, or IGNORE where that is not learnt."""
    return np.where(np.asarray(learn[1:], bool), np.asarray(ids[1:], np.int64), IGNORE)


def pad_batch(
    rows: Sequence[tuple[Sequence[int] | NDArray[Any], Sequence[int] | NDArray[Any]]], length: int, pad_id: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of (inputs, targets), each as long as it is, as two rectangles (rows, length).

    Behind a row's end inputs are `pad_id` and targets IGNORE. UserError if a row does not fit: to cut it would take
    the end of its answer (`data.fit` makes rows shorter from the front).
    """
    inputs = np.full((len(rows), length), pad_id, np.int64)
    targets = np.full((len(rows), length), IGNORE, np.int64)
    for i, (x, y) in enumerate(rows):
        if len(x) > length:
            raise UserError(f"A row of {len(x)} tokens does not fit into {length}. Make it shorter from the front.")
        inputs[i, : len(x)], targets[i, : len(y)] = x, y
    return inputs, targets


def write(encoded: Iterable[Encoded], folder: Path, vocab_size: int, fingerprint: str) -> Conversations:
    """Write the conversations to `folder` and open it. They are held in memory meanwhile."""
    kept = list(encoded)
    write_shards((np.array(one.ids) for one in kept), folder / "ids", vocab_size, None, fingerprint)
    write_shards((np.array(one.learn, np.int64) for one in kept), folder / "learn", 2, None)
    return Conversations.open(folder)


class ConversationLoader:
    """Batches of conversations: each once an epoch, in rows of `row_length` inputs, which several share if `packed`.

    Positions begin at 0 in each conversation, and `place.document` keeps those of a row apart. Padding has document
    -1 and is never a target. Without packing a row is as long as the longest conversation of its step.

    `batch_tokens`, `microbatches`, `rank` and `world` are those of `Loader`. UserError where a conversation is longer
    than a row, or the batch cannot be cut as asked.
    """

    def __init__(
        self,
        conversations: Conversations,
        row_length: int,
        batch_tokens: int,
        seed: int = 0,
        microbatches: int = 1,
        rank: int = 0,
        world: int = 1,
        packed: bool = True,
        device: str | torch.device = "cpu",
    ) -> None:
        self.rows = rows_of(row_length, batch_tokens, microbatches, world)
        self.microbatches = microbatches // world
        self.device = torch.device(device)
        self._conversations, self._row_length = conversations, row_length
        self._seed, self._rank, self._world, self._packed = seed, rank, world, packed
        self._packing = _packing(conversations, row_length, packed)

    @property
    def rows_per_epoch(self) -> int:
        return len(self._packing)

    def batch(self, step: int) -> list[Batch]:
        """This rank's microbatches of step `step` (0, 1, ...): int64, each (rows of a microbatch, row_length)."""
        first = step * self.rows
        whole = [self._row(number) for number in range(first, first + self.rows)]
        lengths = self._conversations.lengths
        length = self._row_length if self._packed else max(int(lengths[row].sum()) for row in whole)
        here = self.rows // self._world
        mine = whole[self._rank * here : (self._rank + 1) * here]
        arrays = _arrays(self._conversations, mine, length)
        parts = zip(*(self._cut(array) for array in arrays), strict=True)
        return [Batch(x, y, Place(index, document, x)) for x, y, index, document in parts]

    def _row(self, number: int) -> NDArray[np.int64]:
        epoch, within = divmod(number, len(self._packing))
        return self._packing.row(self._seed, epoch, within)

    def _cut(self, array: NDArray[np.int64]) -> list[Tensor]:
        return list(torch.from_numpy(array).to(self.device).chunk(self.microbatches))


def evaluation(
    conversations: Conversations, row_length: int, batch_rows: int, device: str | torch.device = "cpu"
) -> Iterator[Batch]:
    """All conversations, packed, each once. All batches have one shape; rows that are left over are padding."""
    packing = _packing(conversations, row_length, packed=True)
    batches = -(-len(packing) // batch_rows)
    rows = -(-len(packing) // batches)
    for first in range(0, len(packing), rows):
        some = [packing.plain(number) for number in range(first, min(first + rows, len(packing)))]
        some += [np.empty(0, np.int64)] * (rows - len(some))
        x, y, index, document = (torch.from_numpy(a).to(device) for a in _arrays(conversations, some, row_length))
        yield Batch(x, y, Place(index, document, x))


def _arrays(
    conversations: Conversations, rows: list[NDArray[np.int64]], length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Inputs, targets, positions and documents of rows of conversations."""
    nothing = np.empty(0, np.int64)
    pairs = [[conversations.pair(number) for number in row.tolist()] for row in rows]
    joined = [tuple(np.concatenate([nothing, *side]) for side in zip(*row, strict=True)) for row in pairs]
    inputs, targets = pad_batch([(row[0], row[1]) if row else (nothing, nothing) for row in joined], length)
    index, document = np.zeros(inputs.shape, np.int64), np.full(inputs.shape, -1)
    for i, row in enumerate(rows):
        at = 0
        for number, (x, _) in zip(row.tolist(), pairs[i], strict=True):
            here = slice(at, at + len(x))
            index[i, here], document[i, here] = np.arange(len(x)), number
            at += len(x)
    return inputs, targets, index, document


def _packing(conversations: Conversations, row_length: int, packed: bool) -> Packing:
    longest = int(conversations.lengths.max())
    if longest > row_length:
        raise UserError(
            f"The longest conversation has {longest} tokens, too many for rows of {row_length} (data.row_tokens). "
            "These data were made for longer rows; start anew with --fresh."
        )
    return Packing(conversations.lengths, row_length, packed)
