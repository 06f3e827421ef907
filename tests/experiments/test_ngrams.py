from collections import Counter

import numpy as np
import pytest

from firsthand.experiments.ngrams import NGrams, Sequences, discounts


def text(length: int, n_symbols: int, seed: int = 0) -> np.ndarray:
    """Symbols that depend on the one before, so that contexts matter."""
    noise = np.random.default_rng(seed).integers(0, 3, length)
    return np.cumsum(noise) % n_symbols


def by_hand(train: list[int], n_symbols: int, order: int, context: list[int], symbol: int) -> float:
    """The same formula, one count at a time."""
    if order == 0:
        return 1 / n_symbols
    padded = [n_symbols] * len(train) + train
    longest = [tuple(padded[i - order + 1 : i + 1]) for i in range(len(train), len(padded))]
    return _by_hand(Counter(longest), n_symbols, tuple(context), symbol)


def _by_hand(counts: Counter[tuple[int, ...]], n_symbols: int, context: tuple[int, ...], symbol: int) -> float:
    d = discounts(np.array(list(counts.values())))
    here = counts.get((*context, symbol), 0)
    followers = [count for ngram, count in counts.items() if ngram[:-1] == context]
    shorter: Counter[tuple[int, ...]] = Counter()
    for ngram, count in counts.items():
        shorter[ngram[1:]] += count if len(ngram) > 2 and ngram[1] == n_symbols else 1
    below = _by_hand(shorter, n_symbols, context[1:], symbol) if context else 1 / n_symbols
    if not followers:
        return below
    discounted = here - d[min(here, 3)]
    gamma = sum(d[min(count, 3)] for count in followers) / sum(followers)
    return float(discounted / sum(followers) + gamma * below)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_probabilities_equal_the_formula_written_out(order: int) -> None:
    n_symbols = 7
    train = text(300, n_symbols)
    asked = text(40, n_symbols, seed=1)
    asked[20] = 6 - asked[20]
    got = NGrams(order, n_symbols, Sequences.one(train, start=n_symbols)).probabilities(
        Sequences.one(asked, start=n_symbols), base=1 / n_symbols
    )
    padded = [n_symbols] * order + asked.tolist()
    for i, symbol in enumerate(asked.tolist()):
        context = padded[i + 1 : i + order]
        assert got[i] == pytest.approx(by_hand(train.tolist(), n_symbols, order, context, symbol), rel=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("length", [1, 2, 50, 5000])
def test_every_distribution_sums_to_one(order: int, length: int) -> None:
    n_symbols = 50
    model = NGrams(order, n_symbols, Sequences.one(text(length, n_symbols), start=n_symbols))
    for history in ([], [3], [3, 4, 4, 6], [49, 0, 49, 0]):
        every = np.arange(n_symbols)
        asked = np.concatenate([[*history, symbol] for symbol in every]).astype(np.int64)
        place = np.tile(np.arange(len(history) + 1), n_symbols)
        sequences = Sequences(asked, place, np.full(len(asked), n_symbols))
        last = model.probabilities(sequences, base=1 / n_symbols)[len(history) :: len(history) + 1]
        assert last.sum() == pytest.approx(1, abs=1e-12)
        assert last.min() > 0


def test_contexts_end_at_the_start_of_a_sequence() -> None:
    model = NGrams(3, 3, Sequences.one(np.array([0, 1, 2, 0, 1, 2, 0, 1, 2]), start=3))
    apart = Sequences(np.array([0, 1, 1]), np.array([0, 1, 0]), np.full(3, 3))
    alone = Sequences.one(np.array([1]), start=3)
    assert model.probabilities(apart, 1 / 3)[2] == model.probabilities(alone, 1 / 3)[0]


def test_discounts_follow_the_counts_of_counts() -> None:
    counts = np.repeat([1, 2, 3, 4], [40, 20, 10, 5])
    share = 40 / 80
    expected = [0, 1 - 2 * share * 20 / 40, 2 - 3 * share * 10 / 20, 3 - 4 * share * 5 / 10]
    assert discounts(counts) == pytest.approx(expected)
