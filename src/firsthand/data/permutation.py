"""A shuffled order that is computed, not stored: a keyed permutation of range(n) that can be asked for any element.

A Feistel network (Luby and Rackoff 1988) over pairs (left, right) with left < a and right < b, where a * b is the
smallest near-square product of at least n. Each round adds a keyed hash of one half to the other, which can be
undone, so the whole is a bijection on range(a * b). Results of n or more are sent through again until they fall
below n ("cycle walking", Black and Rogaway 2002); as a * b exceeds n by less than a, that is rare.
"""

import hashlib
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROUNDS = 8
"""With 8 rounds even the permutations of four elements are equally likely within 2 %."""
MIXER = [
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
]


def keys(*names: int | str, count: int = ROUNDS) -> NDArray[np.uint64]:
    """`count` 64-bit numbers that depend on all `names` and on nothing else, the same on every machine."""
    name = "/".join(str(part) for part in names).encode()
    stream = hashlib.shake_128(name).digest(8 * count)
    return np.frombuffer(stream, dtype="<u8").astype(np.uint64)


def permute(index: NDArray[np.integer[Any]], n: int, key: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Where the permutation of range(n) that `key` names sends each element of `index` (any shape, 0 <= index < n).

    The cost depends on how many elements are asked for, not on n.
    """
    assert key.shape == (ROUNDS,), "one key a round"
    side = max(1, math.isqrt(n - 1) + 1)
    other = -(-n // side)
    out = _feistel(index.astype(np.uint64), side, other, key)
    while (outside := out >= n).any():
        out[outside] = _feistel(out[outside], side, other, key)
    return out.astype(np.int64)


def _feistel(value: NDArray[np.uint64], side: int, other: int, key: NDArray[np.uint64]) -> NDArray[np.uint64]:
    a, b = np.uint64(side), np.uint64(other)
    left, right = np.divmod(value, b)
    for k in range(0, ROUNDS, 2):
        left = (left + _hash(right, key[k]) % a) % a
        right = (right + _hash(left, key[k + 1]) % b) % b
    return left * b + right


def _hash(x: NDArray[np.uint64], key: np.uint64) -> NDArray[np.uint64]:
    """A 64-bit mixer (the finisher of SplitMix64, Steele, Lea and Flood 2014); products wrap around on purpose."""
    x = x + key
    for shift, factor in MIXER:
        x ^= x >> shift
        x *= factor
    return x ^ (x >> np.uint64(31))
