"""Many words end to end as one doubly linked list: merging a pair costs only as much as it occurs.

Training BPE and WordPiece stands on it, and so does encoding a very long piece. Recounting would read all words for
each of thousands of merges; here the counts of the pairs at both sides of a merge are corrected as it happens.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import TypeAlias

Pair: TypeAlias = tuple[int, int]
END = -1
"""Stands between words, and where a symbol was merged into its left neighbour: no id, so part of no pair."""


class Chain:
    """`words` are (ids, how often this word occurs).

    `counts[pair]` is how often `pair` stands side by side in all words; `symbols[id]` how often `id` occurs.
    """

    def __init__(self, words: Iterable[tuple[Iterable[int], int]]) -> None:
        self.ids = [END]
        self._weights = [0]
        for ids, count in words:
            self.ids.extend(ids)
            self.ids.append(END)
            self._weights.extend([count] * (len(self.ids) - len(self._weights)))
        self._left = list(range(-1, len(self.ids) - 1))
        self._right = list(range(1, len(self.ids) + 1))
        self._where: defaultdict[Pair, list[int]] = defaultdict(list)
        self.counts: Counter[Pair] = Counter()
        self.symbols: Counter[int] = Counter()
        for at, pair in enumerate(zip(self.ids, self.ids[1:], strict=False)):
            self.symbols[pair[0]] += self._weights[at]
            if END not in pair:
                self.counts[pair] += self._weights[at]
                self._where[pair].append(at)

    def merge(self, pair: Pair, new_id: int) -> set[Pair]:
        """Replace `pair` by `new_id`, which must be new, everywhere from left to right.

        Gives the pairs that came to be, all of them with `new_id` in them.
        """
        ids, left, right, weights, counts = self.ids, self._left, self._right, self._weights, self.counts
        first, second = pair
        born: defaultdict[Pair, list[int]] = defaultdict(list)
        merged = 0
        for at in self._where.pop(pair):
            gone = right[at]
            if ids[at] != first or ids[gone] != second:
                continue  # since it was noted here, one of the two became part of another token
            before, after, weight = left[at], right[gone], weights[at]
            ids[at], ids[gone] = new_id, END
            right[at], left[after] = after, at
            merged += weight
            if (previous := ids[before]) != END:
                counts[previous, first] -= weight
                counts[previous, new_id] += weight
                born[previous, new_id].append(before)
            if (following := ids[after]) != END:
                counts[second, following] -= weight
                counts[new_id, following] += weight
                born[new_id, following].append(at)
        del counts[pair]
        self.symbols[first] -= merged
        self.symbols[second] -= merged
        self.symbols[new_id] += merged
        self._where.update(born)
        return {pair for pair in born if counts[pair]}  # in a b a b, (ab, a) is born and gone again
