"""Interpolated modified Kneser-Ney n-grams over integer symbols, in NumPy (Chen and Goodman 1999, section 3).

The probability of a symbol w after a context h of k - 1 symbols is

    P_k(w | h) = max(c(h w) - D(c), 0) / c(h) + gamma(h) * P_{k-1}(w | h without its oldest symbol)

where gamma(h) is exactly the mass that the discounts D took away, so every P_k sums to one when P_0 (the `base`
that the caller brings) does. Below the highest order, c counts the *different* symbols seen before "h w".
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

Integers: TypeAlias = Int64[ndarray, "..."]
Shares: TypeAlias = Float64[ndarray, "..."]


@dataclass(frozen=True)
class Sequences:
    """Sequences of symbols, end to end in one array.

    `place` is a symbol's distance from the start of its sequence, and `start` what stands before that start,
    however far one looks back. Three arrays of one length.
    """

    symbols: Integers
    place: Integers
    start: Integers

    @staticmethod
    def one(symbols: Integers, start: int) -> "Sequences":
        return Sequences(symbols, np.arange(len(symbols)), np.full(len(symbols), start))


class NGrams:
    """What followed every context of up to `order` - 1 symbols in `text`.

    Symbols lie in [0, n_symbols), starts in [n_symbols, n_symbols + n_starts).
    """

    def __init__(self, order: int, n_symbols: int, text: Sequences, n_starts: int = 1) -> None:
        self.n_symbols, self.radix = n_symbols, n_symbols + n_starts
        assert order * math.log2(self.radix) < 63, "an n-gram must fit into an int64 key"
        keys, counts = np.unique(self._keys(order, text), return_counts=True)
        self.orders = [_Order(keys, counts, self.radix)]
        for length in range(order - 1, 0, -1):
            keys, counts = self._shorten(keys, counts, length)
            self.orders.insert(0, _Order(keys, counts, self.radix))

    def probabilities(self, text: Sequences, base: float | Shares) -> Shares:
        """P(symbol | the symbols before it in its sequence) for every symbol of `text`; `base` is P_0 of each."""
        probability: Shares = np.broadcast_to(np.float64(base), text.symbols.shape)
        for length, order in enumerate(self.orders, start=1):
            probability = order.interpolate(self._keys(length, text), probability)
        return probability

    def _keys(self, length: int, text: Sequences) -> Integers:
        """Each symbol and the length - 1 before it as one number in base `radix`, the oldest symbol leading."""
        keys = text.symbols.astype(np.int64)
        for back in range(1, length):
            before = np.where(text.place < back, text.start, np.roll(text.symbols, back))
            keys += before * self.radix**back
        return keys

    def _shorten(self, keys: Integers, counts: Integers, length: int) -> tuple[Integers, Integers]:
        """The n-grams of `length` with their continuation counts, from those that are one symbol longer."""
        # an n-gram that begins before the start has only one symbol to follow on: there the plain count stays
        begins_before = keys // self.radix ** (length - 1) % self.radix >= self.n_symbols
        shorter, inverse = np.unique(keys % self.radix**length, return_inverse=True)
        counts = np.where(begins_before & (length > 1), counts, 1)
        return shorter, np.bincount(inverse, counts).astype(np.int64)


class _Order:
    """One P_k: the n-grams of length k as sorted keys."""

    def __init__(self, keys: Integers, counts: Integers, radix: int) -> None:
        discount = discounts(counts)[np.minimum(counts, 3)]
        self.radix, self.keys = radix, keys
        self.contexts, inverse = np.unique(keys // radix, return_inverse=True)
        total = np.bincount(inverse, counts)
        self.mass = (counts - discount) / total[inverse]
        self.gamma = np.bincount(inverse, discount) / total

    def interpolate(self, keys: Integers, lower: Shares) -> Shares:
        """P_k of the n-grams `keys`, given P_{k-1} of the same symbols."""
        gamma = _look_up(self.contexts, self.gamma, keys // self.radix, absent=1.0)
        probability: Shares = _look_up(self.keys, self.mass, keys, absent=0.0) + gamma * lower
        return probability


def discounts(counts: Integers) -> Shares:
    """D(0), D(1), D(2) and D(3 and more), from how many n-grams occur once, twice, three and four times (eq. 26)."""
    n = np.bincount(np.minimum(counts, 5), minlength=6)
    estimates = np.array([0.0, 0.5, 0.75, 0.9])  # where the data is too small or too regular to tell
    for c in (1, 2, 3):
        if n[1] and n[2] and n[c] and n[c + 1]:
            share = n[1] / (n[1] + 2 * n[2])
            estimates[c] = np.clip(c - (c + 1) * share * n[c + 1] / n[c], 0.05, 0.95 * c)
    return estimates


def _look_up(keys: Integers, values: Shares, wanted: Integers, absent: float) -> Shares:
    index = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[index] == wanted, values[index], absent)
