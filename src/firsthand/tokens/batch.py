"""BPE of thousands of short pieces at once: in each round every piece has its earliest merge done, all in NumPy."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from firsthand.tokens.chain import Pair
from firsthand.tokens.ranks import ID

Ints: TypeAlias = NDArray[np.int64]

NEVER = 1 << 62
_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: Knuth, The Art of Computer Programming 3, 6.4


class Batch:
    """`byte_ids[byte]` is what a piece begins as, `merges[pair]` the token that `pair` becomes, the lowest
    first; they may be ranked (ranks.py)."""

    def __init__(self, byte_ids: Sequence[int], merges: Mapping[Pair, int]) -> None:
        self._byte_ids = np.array(byte_ids, np.int64)
        self._table = _Table(merges)

    def encode(self, pieces: Sequence[bytes], dtype: np.dtype[Any]) -> list[bytes]:
        """The ids of each piece (none is empty), as the bytes of an array of `dtype`."""
        ids = self._byte_ids[np.frombuffer(b"".join(pieces), np.uint8)]
        owner = np.repeat(np.arange(len(pieces)), list(map(len, pieces)))
        made = self._neighbours(ids, owner, np.arange(len(ids)))
        done: list[tuple[Ints, Ints]] = []
        while len(ids):
            starts = np.flatnonzero(np.diff(owner, prepend=-1))
            lengths = np.diff(starts, append=len(ids))
            best = np.minimum.reduceat(made, starts)
            keep = np.repeat(best != NEVER, lengths)
            done.append((owner[~keep], ids[~keep]))
            at = np.flatnonzero((made == np.repeat(best, lengths)) & keep)
            at = at[np.diff(owner[at], prepend=-1) != 0]  # of equal pairs in a piece the first
            ids[at] = made[at] & ID
            keep[at + 1] = False
            at = np.cumsum(keep)[at] - 1
            ids, owner, made = ids[keep], owner[keep], made[keep]
            for changed in (at, at[at > 0] - 1):
                made[changed] = self._neighbours(ids, owner, changed)
        owner, ids = (np.concatenate(parts) for parts in zip(*done, strict=True))
        found = ids[owner.argsort(kind="stable")].astype(dtype).tobytes()
        ends = (np.cumsum(np.bincount(owner)) * dtype.itemsize).tolist()
        return [found[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def _neighbours(self, ids: Ints, owner: Ints, at: Ints) -> Ints:
        """What each id `at` becomes together with the next of its piece, NEVER if nothing."""
        after = np.minimum(at + 1, len(ids) - 1)
        made = self._table.look_up(ids[at] << 32 | ids[after])
        made[(owner[at] != owner[after]) | (at == after)] = NEVER
        return made


class _Table:
    """Pairs hashed to places of which most hold one; the few crowded ones are searched for in order."""

    def __init__(self, merges: Mapping[Pair, int]) -> None:
        pairs = np.array(list(merges), np.int64).reshape(-1, 2)
        keys, made = pairs[:, 0] << 32 | pairs[:, 1], np.fromiter(merges.values(), np.int64, len(merges))
        order = keys.argsort()
        self._keys, self._made = np.append(keys[order], NEVER), np.append(made[order], NEVER)
        bits = (8 * len(merges) + 1).bit_length()
        self._shift = np.uint64(64 - bits)
        places = self._place(keys)
        self._key_at, self._made_at = np.full(1 << bits, -1), np.full(1 << bits, NEVER)
        self._key_at[places], self._made_at[places] = keys, made
        self._crowded = np.bincount(places, minlength=1 << bits) > 1

    def look_up(self, keys: Ints) -> Ints:
        places = self._place(keys)
        made = np.where(self._key_at[places] == keys, self._made_at[places], NEVER)
        crowded = np.flatnonzero(self._crowded[places])
        asked = keys[crowded]
        at = self._keys.searchsorted(asked)
        made[crowded] = np.where(self._keys[at] == asked, self._made[at], NEVER)
        return made

    def _place(self, keys: Ints) -> Ints:
        return (keys.view(np.uint64) * _ODD >> self._shift).view(np.int64)
