"""Which conversations share a row: packed once by their lengths, and filled anew each epoch."""

from functools import lru_cache

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from firsthand.data.permutation import keys, permute


class Packing:
    """Conversations of `lengths` tokens (each at most `row_length`) in rows of that length, none of them divided.

    Best fit, the longest first: each goes where it leaves the least room (Johnson 1973; for training, "Fewer
    truncations", Ding et al. 2024, arXiv 2404.10830). Only lengths decide, so the pattern is made once; an epoch
    fills its slots with conversations of the right length in an order that a keyed permutation computes, and permutes
    the rows: nothing to store and nothing to fast-forward. `packed=False`: a row for each.
    """

    def __init__(self, lengths: NDArray[np.int64], row_length: int, packed: bool = True) -> None:
        assert len(lengths), "no conversations"
        assert 0 < lengths.min() <= lengths.max() <= row_length, "a conversation fits into a row"
        # slot k holds a conversation as long as the k-th longest; `_of` has their numbers in that order
        self._of = np.argsort(-lengths, kind="stable")
        ordered = lengths[self._of]
        row = _best_fit(ordered, row_length) if packed else np.arange(len(ordered))
        self._slots = np.argsort(row, kind="stable")
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(row))])
        # the run of equally long conversations that each slot may take one from
        self._class = np.searchsorted(-ordered, -ordered, side="left")
        self._size = np.searchsorted(-ordered, -ordered, side="right") - self._class
        self._lengths = lengths

    def __len__(self) -> int:
        """Rows of an epoch."""
        return len(self._starts) - 1

    def row(self, seed: int, epoch: int, number: int) -> Int[np.ndarray, " conversations"]:
        """The conversations in the `number`-th row of an epoch, in order."""
        place = int(permute(np.array([number]), len(self), _keys(seed, epoch, -1))[0])
        return np.array([self._taken(seed, epoch, int(slot)) for slot in self._in(place)], np.int64)

    def plain(self, number: int) -> Int[np.ndarray, " conversations"]:
        """The same in the pattern's own order, which no epoch has changed."""
        return self._of[self._in(number)]

    def _in(self, row: int) -> NDArray[np.int64]:
        return self._slots[self._starts[row] : self._starts[row + 1]]

    def _taken(self, seed: int, epoch: int, slot: int) -> int:
        first, size = int(self._class[slot]), int(self._size[slot])
        if size == 1:
            return int(self._of[slot])
        among = permute(np.array([slot - first]), size, _keys(seed, epoch, first))
        return int(self._of[first + int(among[0])])


def _best_fit(ordered: NDArray[np.int64], row_length: int) -> NDArray[np.int64]:
    """The row of each of these lengths, the longest first.

    Bit r of `rooms` says that some row has room for r more; the lowest bit from a length on is where it fits best.
    """
    rows_with: list[list[int]] = [[] for _ in range(row_length + 1)]
    rooms, count = 0, 0
    row = np.empty(len(ordered), np.int64)
    for i, length in enumerate(ordered.tolist()):
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            number = rows_with[room].pop()
            if not rows_with[room]:
                rooms &= ~(1 << room)
        else:
            room, number = row_length, count
            count += 1
        row[i] = number
        rows_with[room - length].append(number)
        rooms |= 1 << (room - length)
    return row


@lru_cache(maxsize=4096)
def _keys(seed: int, epoch: int, name: int) -> NDArray[np.uint64]:
    return keys("conversations", seed, epoch, name)
