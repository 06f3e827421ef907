"""BPE's merges in NumPy: `learn_merges` of bpe.py, the same merges in half the time.

A merge costs some fifty calls of NumPy however often its pair occurs, and of the pairs that come to be only those are
noted that may still win: work goes in rounds, and a pair that occurs too rarely for this round waits for the next.
"""

from collections.abc import Iterator, Mapping
from heapq import heappop, heappush
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from firsthand.tokens.chain import END, Pair

Ints: TypeAlias = NDArray[np.int64]

GONE = -2
"""Where a symbol was merged into its left neighbour."""
ROUND = 16
"""A round ends when the best pair occurs so many times more rarely than at its beginning. 2: a quarter slower."""


class Learner:
    """All words in one row, END around each. `words` (bytes as ids) come with how often each occurs."""

    def __init__(self, words: Mapping[bytes, int]) -> None:
        lengths = np.fromiter(map(len, words), np.int64, len(words))
        inside = np.ones(int(lengths.sum()) + len(words) + 1, bool)
        inside[0] = inside[np.cumsum(lengths + 1)] = False
        self._ids, self._weights = np.full(len(inside), END), np.zeros(len(inside), np.int64)
        self._ids[inside] = np.frombuffer(b"".join(words), np.uint8)
        self._weights[inside] = np.repeat(np.fromiter(words.values(), np.int64, len(words)), lengths)
        self._heap: list[tuple[int, Pair]] = []
        self._where: dict[Pair, Ints] = {}
        self.merges: list[Pair] = []

    def learn(self, limit: int) -> list[Pair]:
        """The first `limit` merges; fewer if every word has become one token."""
        while len(self.merges) < limit and (least := self._begin_round()):
            while self._heap and len(self.merges) < limit:
                if (places := self._best(least)) is not None:
                    self._merge(places, least)
        return self.merges[: max(limit, 0)]

    def _begin_round(self) -> int:
        """Close the gaps and count all pairs. Gives how often a pair must occur to take part; 0 if there are none."""
        there = self._ids != GONE
        self._ids, self._weights = self._ids[there], self._weights[there]
        self._left, self._right = np.arange(len(self._ids)) - 1, np.arange(len(self._ids)) + 1
        at = np.flatnonzero((self._ids[:-1] != END) & (self._ids[1:] != END))
        if not len(at):
            return 0
        keys, weights = self._ids[at] << 32 | self._ids[at + 1], self._weights[at]
        most = np.bincount(np.unique(keys, return_inverse=True)[1], weights).max()
        least = max(1, int(most) // ROUND)
        for key, count, places in _groups(keys, at, weights, least):
            self._note((key >> 32, key & 0xFFFFFFFF), count, places)
        return least

    def _note(self, pair: Pair, count: int, places: Ints) -> None:
        self._where[pair] = places
        heappush(self._heap, (-count, pair))

    def _best(self, least: int) -> Ints | None:
        """Where the next pair to be merged begins; None if the one noted as the best occurs more rarely by now."""
        negative, pair = heappop(self._heap)
        at = self._where.pop(pair)
        at = at[(self._ids[at] == pair[0]) & (self._ids[self._right[at]] == pair[1])]
        actual = int(self._weights[at].sum())
        if actual == -negative:
            self.merges.append(pair)
            return _without_overlaps(at, self._right[at]) if pair[0] == pair[1] else at
        if actual >= least:
            self._note(pair, actual, at)
        return None

    def _merge(self, at: Ints, least: int) -> None:
        """Make the pairs that begin `at` one token, and note the pairs that come to be."""
        ids, new_id = self._ids, 255 + len(self.merges)
        gone = self._right[at]
        after = self._right[gone]
        ids[at], ids[gone] = new_id, GONE
        self._right[at], self._left[after] = after, at
        before = self._left[at]
        # the neighbour, and whether it stands on the right
        keys = np.concatenate((ids[before] << 1, ids[after] << 1 | 1))
        weights = self._weights[at]
        both = np.concatenate((before, at)), np.concatenate((weights, weights))
        for key, count, places in _groups(keys, *both, least):
            neighbour, right = key >> 1, key & 1
            if neighbour != END and not (right and neighbour == new_id):  # such a pair was seen from its right half
                self._note((new_id, neighbour) if right else (neighbour, new_id), count, places)


def _groups(keys: Ints, at: Ints, weights: Ints, least: int) -> Iterator[tuple[int, int, Ints]]:
    """Each different key of which the weights come to `least`, with their sum and the `at` that belong to it, sorted
    if `at` is."""
    order = keys.argsort(kind="stable")
    keys = keys[order]
    starts = np.concatenate(([0], (keys[1:] != keys[:-1]).nonzero()[0] + 1))
    sums = np.add.reduceat(weights[order], starts)
    for group in (sums >= least).nonzero()[0].tolist():
        end = starts[group + 1] if group + 1 < len(starts) else len(keys)
        yield int(keys[starts[group]]), int(sums[group]), at[order[starts[group] : end]]


def _without_overlaps(at: Ints, gone: Ints) -> Ints:
    """In a a a the pair begins twice; only the first counts, and so on from left to right."""
    kept, taken = [], -1
    for place, following in zip(at.tolist(), gone.tolist(), strict=True):
        if place != taken:
            kept.append(place)
            taken = following
    return np.array(kept)
