"""Texts that make careless tokenizers quadratic. Counted are executed lines, never seconds."""

import random
import sys
from collections.abc import Callable

import pytest

from firsthand.tokens import TOKENIZERS
from firsthand.tokens.bpe import BPETokenizer, apply_merges_long, train_bpe
from firsthand.tokens.fast import Engine
from firsthand.tokens.wordpiece import learn_wordpieces

DRAW = random.Random(0)
TEXTS: dict[str, Callable[[int], str]] = {
    "one letter": lambda n: "a" * n,
    "one mark": lambda n: "^" * n,
    "spaces": lambda n: " " * n,
    "spaces before a word": lambda n: " " * (n - 1) + "x",
    "line ends": lambda n: "\n" * n,
    "one digit": lambda n: "9" * n,
    "digits": lambda n: "".join(DRAW.choices("0123456789", k=n)),
    "letters": lambda n: "".join(DRAW.choices("abcdefgh", k=n)),
    "joiners": lambda n: "\u200d" * n,
    "combining marks": lambda n: "e" + "\u0301" * (n - 1),
    "white space": lambda n: "".join(DRAW.choices(" \n\t\r\u3000", k=n)),
    "all of them": lambda n: "".join(DRAW.choices("a^ \n9\u200d\u0301'.😀", k=n)),
}


@pytest.fixture(scope="module", params=["gpt2", "cl100k", "o200k", "tekken"])
def tokenizer(request, plays, python_sources):
    runs = ["".join(make(3000) for make in TEXTS.values()), *python_sources[:5], *plays[:2]]
    return BPETokenizer.train(runs, 1500, split=request.param)


def _lines(work: Callable[[], object]) -> int:
    """How many lines of the tokenizers `work` executes."""
    counted = 0

    def trace(frame, event, argument):
        nonlocal counted
        if "firsthand/tokens/" not in frame.f_code.co_filename.replace("\\", "/"):
            return None
        counted += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    assert counted, "nothing was counted"
    return counted


def _assert_near_linear(work: Callable[[int], object]) -> None:
    small, large = _lines(lambda: work(1 << 10)), _lines(lambda: work(1 << 13))
    assert large < small * 8**1.2, f"{small} lines grew to {large} for a text 8 times as long"


def test_a_quadratic_function_is_found_out():
    with pytest.raises(AssertionError, match="lines grew"):
        _assert_near_linear(lambda n: [apply_merges_long([1] * (n // 64), {(1, 1): 2}) for _ in range(n // 64)])


@pytest.mark.parametrize("name", TEXTS)
def test_encoding_is_near_linear(tokenizer, name):
    _assert_near_linear(lambda n: tokenizer.encode(TEXTS[name](n)))


@pytest.mark.parametrize("name", ["one letter", "digits", "letters", "all of them"])
def test_training_is_near_linear_in_one_long_piece(name):
    _assert_near_linear(lambda n: train_bpe(TEXTS[name](n).replace(" ", ""), 400))
    _assert_near_linear(lambda n: learn_wordpieces({"a" * n: 1}, ["a", "##a"], 50))


@pytest.mark.parametrize("name", TEXTS)
def test_long_texts_come_back(tokenizer, name, hugging_face):
    text = TEXTS[name](1 << 15)
    ids = Engine(tokenizer).encode([text])[0].tolist()
    assert tokenizer.decode(ids) == text
    assert ids == tokenizer.encode(text) == hugging_face(tokenizer).encode(text).ids


@pytest.mark.parametrize("kind", ["char", "byte", "word", "wordpiece"])
def test_a_megabyte_in_the_other_kinds(kind):
    made = TOKENIZERS[kind].train([make(500) for make in TEXTS.values()])
    for name in ("one letter", "digits", "spaces"):
        assert len(Engine(made).encode([TEXTS[name](1 << 20)])[0]) >= 1


def test_a_megabyte_of_one_letter(tokenizer):
    ids = Engine(tokenizer).encode(["a" * (1 << 20)])[0]
    assert tokenizer.decode(ids) == "a" * (1 << 20)
