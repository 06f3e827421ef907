"""The figures that `firsthand tokenizer compare` shows."""

import pytest

from firsthand.tokens import TOKENIZERS
from firsthand.tokens.compare import _SAMPLES, fertility, measure


def test_figures_by_hand():
    made = TOKENIZERS["word"].train(["to be or not to be"])
    figures = measure(made, ["to be", "to see"])
    assert figures["bytes"] == 11
    assert figures["tokens"] == 6
    assert figures["bytes_per_token"] == 11 / 6
    assert figures["unknown"] == 1 / 6
    assert figures["round_trip"] is False
    assert figures["vocab_size"] == 7
    assert measure(made, ["to be"])["round_trip"] is True
    assert min(figures["cold"], figures["warm"]) > 0


def test_bytes_and_bpe_lose_nothing_and_characters_only_the_unknown(plays):
    for kind in ("byte", "bpe"):
        figures = measure(TOKENIZERS[kind].train(plays[:1], None if kind == "byte" else 400), plays[1:2])
        assert (figures["lost"], figures["round_trip"], figures["unknown"]) == ([], True, 0)
    lost = measure(TOKENIZERS["char"].train([_SAMPLES["Greek"]]), [""])["lost"]
    assert "Greek" not in lost
    assert "Han" in lost


def test_fertility_counts_words_or_characters_where_there_are_no_spaces():
    byte = TOKENIZERS["byte"].train([])
    assert fertility(byte, "to be") == 2.5
    assert fertility(byte, "世界") == 3
    assert fertility(byte, "กิน") == 9 / 2  # a vowel sign belongs to its consonant
    assert fertility(byte, "👍") == 4
    assert fertility(byte, "") == 0


@pytest.mark.parametrize("name", _SAMPLES)
def test_every_sample_has_words(name):
    char = TOKENIZERS["char"].train([_SAMPLES[name]])
    assert 1 <= fertility(char, _SAMPLES[name]) < 10
