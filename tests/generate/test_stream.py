"""Streams against the full decoding, for random texts, random cuts into tokens and random stop strings."""

import random

import jaxtyping
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firsthand.errors import UserError
from firsthand.generate.stream import TextStream, printable


class Pieces:
    """A tokenizer whose tokens are the given byte strings; id 0 is special."""

    def __init__(self, pieces):
        self.special_tokens = {"<|endoftext|>": 0}
        self.pieces = [b"", *pieces]

    def decode_bytes(self, ids):
        return b"".join(self.pieces[id] for id in ids)


def stream(pieces, stop=()):
    """The deltas, the tail from `finish`, and the stop that was met."""
    text = TextStream(Pieces(pieces), stop)
    deltas = [text.push(id) for id in range(1, len(pieces) + 1)]
    return deltas, text.finish(), text.stopped


def cut_at_first_completed(text, stops):
    """The definition: look at the text character by character; the first stop that is complete cuts."""
    for end in range(1, len(text) + 1):
        for stop in stops:
            if text[:end].endswith(stop):
                return text[: end - len(stop)], stop
    return text, None


def cut(data: bytes, generator: random.Random) -> list[bytes]:
    """Tokens of one to four bytes, wherever the characters end."""
    pieces, start = [], 0
    while start < len(data):
        size = generator.randint(1, 4)
        pieces.append(data[start : start + size])
        start += size
    return pieces


@pytest.fixture
def unchecked():
    """Without checks of every call's types: for large counts, where they take ten times what is tested."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(
    text=st.text(alphabet="abé€😀", max_size=30),
    stops=st.lists(st.text(alphabet="abé€😀", min_size=1, max_size=5), max_size=4),
    seed=st.integers(0, 2**32),
)
def test_v8_stop_strings_over_token_borders(text, stops, seed):
    pieces = cut(text.encode(), random.Random(seed))
    deltas, tail, stopped = stream(pieces, stops)
    assert ("".join(deltas) + tail, stopped) == cut_at_first_completed(text, stops)
    for count in range(len(pieces)):
        arrived = b"".join(pieces[: count + 1]).decode("utf-8", "ignore")
        given_back = "".join(deltas[: count + 1])
        if cut_at_first_completed(arrived, stops)[1] is None:
            assert len(arrived) - len(given_back) < max(map(len, stops), default=1)


@pytest.mark.usefixtures("unchecked")
def test_v8_fifty_thousand_cuts():
    generator = random.Random(8)
    stopped_count = 0
    for _ in range(50_000):
        text = "".join(generator.choices("ab", k=generator.randint(0, 12)))
        stops = ["".join(generator.choices("ab", k=generator.randint(1, 5))) for _ in range(generator.randint(1, 3))]
        deltas, tail, stopped = stream(cut(text.encode(), generator), stops)
        assert ("".join(deltas) + tail, stopped) == cut_at_first_completed(text, stops)
        stopped_count += stopped is not None
    assert 10_000 < stopped_count < 49_000


@pytest.mark.usefixtures("unchecked")
def test_v9_characters_over_token_borders():
    """100,000 random code points and emoji sequences, cut into bytes anywhere."""
    generator = random.Random(9)
    families = ["👩‍👩‍👧‍👦", "🏳️‍🌈", "é", "각", "\u200d"]
    for _ in range(1000):
        characters = [
            chr(generator.choice([*range(0x80), *range(0xA0, 0xD7FF, 97), *range(0xE000, 0x110000, 997)]))
            for _ in range(100)
        ]
        text = "".join([*characters, generator.choice(families)])
        pieces = cut(text.encode(), generator)
        deltas, tail, _ = stream(pieces)
        assert "".join(deltas) == text
        assert tail == ""
        arrived = given_back = 0
        for piece, delta in zip(pieces, deltas, strict=True):
            arrived, given_back = arrived + len(piece), given_back + len(delta.encode())
            assert arrived - given_back <= 3


@settings(max_examples=500, deadline=None, derandomize=True)
@given(pieces=st.lists(st.binary(max_size=5), max_size=12))
def test_v9_invalid_bytes_become_what_full_decoding_gives(pieces):
    deltas, tail, _ = stream(pieces)
    assert "".join(deltas) + tail == b"".join(pieces).decode("utf-8", "replace")


def test_a_stop_may_hold_what_invalid_bytes_become():
    assert stream([b"a\xff", b"b\xe2\x82"], ["�b�"]) == (["a", ""], "", "�b�")


def test_a_beginning_that_leads_nowhere_is_given_back():
    assert stream([b"see a", b"b", b"x", b"ab"], ["abc"]) == (["see ", "", "abx", ""], "ab", None)


def test_the_first_of_stops_completed_together_wins():
    assert stream([b"xabc"], ["bc", "abc"])[0] == ["xa"]
    assert stream([b"xabc"], ["abc", "bc"])[0] == ["x"]


def test_special_tokens_give_no_text_and_do_not_count():
    text = TextStream(Pieces([b"a", b"b"]))
    assert [text.push(id) for id in (1, 0, 2, 0)] == ["a", "", "b", ""]


def test_after_a_stop_nothing_follows():
    text = TextStream(Pieces([b"a.", b"b"]), ["."])
    assert [text.push(1), text.push(2), text.finish()] == ["a", "", ""]


def test_an_empty_stop_string_is_refused():
    with pytest.raises(UserError, match="empty stop"):
        TextStream(Pieces([]), ["x", ""])


def test_s13_printable_text_cannot_command_a_terminal():
    generator = random.Random(13)
    for _ in range(10_000):
        text = "".join(generator.choices("ab\n\t\r\x1b\x07\x9b\x7f\x00\u2028\u202e\u2066[31m", k=12))
        clean = printable(text)
        assert not any(
            (ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 or ord(c) in (0x2028, 0x202E, 0x2066)
            for c in clean
        )
    assert printable("Schöne\tGrüße,\n世界 👩‍👩‍👧‍👦") == "Schöne\tGrüße,\n世界 👩‍👩‍👧‍👦"
    assert printable("a\x1b[31mred\x1b]0;title\x07\r") == "a[31mred]0;title"
