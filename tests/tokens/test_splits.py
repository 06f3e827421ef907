"""Cutting text: pieces join to the text, chunks are whole numbers of pieces, blocks change nothing."""

import random
import re
from collections import Counter
from itertools import islice

import pytest
import regex
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from firsthand.tokens.splits import CHARACTERS, CL100K, GPT2, QWEN2, SMOLLM, WHITE, WHOLE, WORDPIECE, WORDS, split_of

SPLITS = {split.name: split for split in (GPT2, CL100K, QWEN2, SMOLLM, WORDS, WORDPIECE, CHARACTERS, WHOLE)}


@pytest.fixture(params=SPLITS)
def split(request):
    return SPLITS[request.param]


def _of_chunks(split, text, block=1 << 20):
    """All pieces of all chunks; a chunk's are had alone and together with the others', which must be the same."""
    chunks = [chunk for chunks in split.chunks(text, block) for chunk in chunks]
    together = {}
    for lot in split.cut(dict.fromkeys(chunks)):
        pieces = iter(lot.pieces)
        together |= {chunk: list(islice(pieces, n)) for chunk, n in zip(lot.chunks, lot.counts, strict=True)}
        assert next(pieces, None) is None
    alone = {chunk: [piece for lot in split.cut([chunk]) for piece in lot.pieces] for chunk in together}
    assert alone == together
    return [piece for chunk in chunks for piece in together[chunk]]


def test_pieces_join_to_the_text_and_chunks_are_whole_pieces(split, fuzzed):
    for text in fuzzed[::20]:
        pieces = split.pieces(text)
        assert "".join(pieces) == text
        assert _of_chunks(split, text) == pieces or split is WHOLE


@pytest.mark.parametrize("block", [1, 2, 3, 7, 50])
def test_blocks_change_nothing(split, fuzzed, block):
    draw = random.Random(block)
    for _ in range(60):
        text = "".join(draw.choices(fuzzed, k=12))
        assert _of_chunks(split, text, block) == split.pieces(text) or split is WHOLE


@settings(max_examples=300, deadline=None)
@given(
    text=st.text(alphabet=" \n\r\t\x0b\x0e\x0f\x1c\x85\u3000aZé1½'.!s_😀\u0301", max_size=25), block=st.integers(1, 12)
)
def test_chunks_of_white_space_and_marks(text, block):
    for split in SPLITS.values():
        assert split is WHOLE or _of_chunks(split, text, block) == split.pieces(text)


def test_pieces_are_hugging_faces(split, fuzzed):
    """As its file says it, run by Hugging Face's own engine."""
    if split is WHOLE:
        assert split.pieces("a b\nc") == ["a b\nc"]
        return
    other = pre_tokenizers.Split(tokenizers.Regex(split.pattern), "isolated")
    for text in fuzzed[::40]:
        assert split.pieces(text) == [piece for piece, _ in other.pre_tokenize_str(text)]


def test_ascii_has_a_pattern_of_its_own(fuzzed):
    """The standard library's `re` finds what `regex` finds by the pattern that the file has."""
    draw = random.Random(4)
    texts = [
        "".join(draw.choices(" \n\r\tabZ09'.!_\x0b\x0c\x0e\x1c\x1f'sSllRE", k=draw.randrange(20)))
        for _ in range(20_000)
    ]
    for split in (GPT2, CL100K, QWEN2, SMOLLM):
        for text in [*texts, *filter(str.isascii, fuzzed)]:
            assert split.pieces(text) == regex.findall(split.pattern, text)


def test_counts_are_of_pieces(split, plays):
    texts = plays[:2]
    assert split.count(texts) == Counter(piece for text in texts for piece in split.pieces(text)) or split is WHOLE


def test_words_by_hand():
    text = "Don't panic -- it's 42  times\n\nnaïve_1!"
    assert WORDS.pieces(text)[:8] == ["Don", "'", "t", " ", "panic", " ", "--", " "]
    assert WORDS.pieces(text)[-6:] == ["42", "  ", "times", "\n\n", "naïve_1", "!"]
    assert WORDPIECE.pieces("a" * 130 + "!?") == ["a" * 64, "a" * 64, "aa", "!", "?"]
    assert GPT2.pieces("it's  a 1st") == ["it", "'s", " ", " a", " 1", "st"]
    assert CL100K.pieces("IT'S 12345\n\n") == ["IT", "'S", " ", "123", "45", "\n\n"]


def test_only_known_patterns_are_recognised(split):
    every = list(SPLITS.values())
    assert split_of(split.to_json(), every) is split
    assert split_of(split.to_json(), [other for other in every if other is not split]) is None
    for tree in (None, 7, [], {}, {"type": "Whitespace"}, {"type": "Sequence", "pretokenizers": []}):
        assert split_of(tree, every) is None
    evil = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    assert split_of(evil, every) is None


def test_white_space_is_unicodes():
    """`regex` and, in the tests above, Hugging Face's engine agree; only `re` would count \\x1c to \\x1f too."""
    every = "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000)
    assert re.findall(f"[{WHITE}]", every) == regex.findall(r"\s", every)
    assert len(re.findall(r"\s", every)) == len(regex.findall(r"\s", every)) + 4
