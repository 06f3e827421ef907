import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firsthand.experiments import baselines
from firsthand.experiments.baselines import BASELINES, END, PIECES, WordNGrams, shape
from firsthand.experiments.ngrams import Sequences

WORDS = b"the king and queen of France were not here, but Lear was: 'tis true\n\n".split(b" ")


def prose(n_words: int, seed: int) -> bytes:
    rank = np.random.default_rng(seed).zipf(1.5, n_words) % len(WORDS)
    return b" ".join(WORDS[i] for i in rank)


@pytest.mark.parametrize("name", BASELINES)
def test_random_bytes_cost_eight_bits(name: str) -> None:
    random = np.random.default_rng(0)
    bits = BASELINES[name](random.bytes(200_000), random.bytes(50_000))
    assert 7.99 < bits < (9 if name == "word_ngram" else 8.2)  # words are the wrong idea of random bytes


@pytest.mark.parametrize("name", BASELINES)
def test_prose_costs_less_than_random_bytes_and_more_than_nothing(name: str) -> None:
    assert 0.5 < BASELINES[name](prose(20_000, 0), prose(3_000, 1)) < 3


@pytest.mark.parametrize("baseline", BASELINES.values())
@pytest.mark.parametrize(
    ("train", "heldout"),
    [(b"a", b"b"), (b"\x00" * 100, b"\xff"), (b"ab" * 50, "καλημέρα".encode()), (b" \n " * 9, b"a" * 100_000)],
)
def test_any_bytes_have_a_finite_price(baseline: Callable[[bytes, bytes], float], train: bytes, heldout: bytes) -> None:
    assert np.isfinite(baseline(train, heldout))


def test_xz_knows_what_it_has_seen() -> None:
    text = np.random.default_rng(0).bytes(1 << 20)
    assert baselines.xz(text, text[: 1 << 19]) < 0.02


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_pieces_join_to_the_text(text: bytes) -> None:
    assert b"".join(PIECES.findall(text)) == text


def test_a_long_run_of_white_space_is_split_in_linear_time() -> None:
    assert len(PIECES.findall(b" " * 300_000 + b"\n" * 300_000)) == 1


def test_the_word_model_is_a_distribution() -> None:
    """Choices sum to one over known pieces and shapes; spellings to one over the bytes and END, at every step."""
    words = WordNGrams(prose(5000, 0))
    everything = np.arange(words.n_symbols)
    for before in (0, 7, 9):
        pairs = np.stack([np.full(len(everything), before), everything], axis=1).ravel()
        place = np.tile([0, 1], len(everything))
        asked = Sequences(pairs, place, np.full(len(pairs), words.n_symbols))
        assert words.words.probabilities(asked, 1 / words.n_symbols)[1::2].sum() == pytest.approx(1, abs=1e-12)
    for kind in range(baselines.N_SHAPES):
        pairs = np.stack([np.full(END + 1, ord("t")), np.arange(END + 1)], axis=1).ravel()
        asked = Sequences(pairs, np.tile([0, 1], END + 1), np.full(len(pairs), END + 1 + kind))
        assert words.spelling.probabilities(asked, 1 / (END + 1))[1::2].sum() == pytest.approx(1, abs=1e-12)


def test_all_strings_together_have_at_most_probability_one() -> None:
    """Every string of up to three letters of a small alphabet, as a whole text: prices must not promise too much."""
    words = WordNGrams(b"ab a ba b ab ab a b a b a ab a ba " * 3)
    alphabet = [b"a", b"b", b" "]
    texts = [x + y + z for x in [*alphabet, b""] for y in alphabet for z in alphabet]
    firsts = [re.match(PIECES, text) for text in texts]
    pieces = sorted({match.group() for match in firsts if match})
    total = sum(2.0 ** -words.bits([piece])[0] for piece in pieces)
    assert 0.3 < total <= 1 + 1e-9


def test_shapes() -> None:
    told = [shape(piece) for piece in (b"?", b" ?", b"king", b" king", b"King", b" King", b"KING", b" KING", b" A")]
    assert told == [0, 1, 2, 3, 4, 5, 6, 7, 5]
