"""Duplicates: exact by hash, near by MinHash."""

import random
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firsthand.errors import UserError
from firsthand.text.deduplicate import ExactDuplicates, NearDuplicates, digest, signature

WORDS = [f"word{i}" for i in range(2000)]


def prose(seed: int, n: int = 400) -> list[str]:
    return random.Random(seed).choices(WORDS, k=n)


@given(keys=st.lists(st.integers(1, 2**64 - 1) | st.integers(1, 20), max_size=50))
def test_exactly_what_came_before_is_seen(keys):
    table, before = ExactDuplicates(), set()
    for key in keys:
        assert table.seen(key) is (key in before)
        before.add(key)


def test_the_table_grows():
    table = ExactDuplicates()
    keys = [digest(str(i)) for i in range(6000)]
    assert not any(table.seen(key) for key in keys)
    assert all(table.seen(key) for key in keys)


def test_digests_differ_and_take_any_text():
    texts = ["", "a", "A", "a ", "é", "\ud800"]
    assert len({digest(text) for text in texts}) == len(texts)
    assert 0 not in map(digest, texts)


def test_a_few_changed_words_are_nearly_the_same_text_and_other_text_is_not():
    near = NearDuplicates()
    original, other = prose(1), prose(2)
    changed = [*original[:200], "a", "new", "phrase", *original[203:]]
    assert near.seen("original", signature(" ".join(original))) is None
    assert near.seen("other", signature(" ".join(other))) is None
    assert near.seen("changed", signature(" ".join(changed))) == "original"
    assert near.seen("upper", signature(" ".join(original).upper())) == "original"
    assert near.seen("half", signature(" ".join(original[:200] + other[:200]))) is None


def test_the_estimate_is_close_to_the_true_overlap():
    pieces = [prose(3, 300), prose(4, 300)]
    for share in (0.9, 0.5):
        n = int(300 * share)
        mixed = pieces[0][:n] + pieces[1][n:]
        runs = [{tuple(words[i : i + 5]) for i in range(len(words) - 4)} for words in (pieces[0], mixed)]
        truth = len(runs[0] & runs[1]) / len(runs[0] | runs[1])
        estimate = float(np.mean(signature(" ".join(pieces[0])) == signature(" ".join(mixed))))
        assert estimate == pytest.approx(truth, abs=0.12)


def test_scripts_without_blanks_are_compared_by_character():
    text = "".join(chr(0x4E00 + i) for i in random.Random(0).choices(range(3000), k=300))
    near = NearDuplicates()
    assert near.seen("a", signature(text)) is None
    assert near.seen("b", signature(text[:299] + "的")) == "a"
    assert near.seen("c", signature(text[::-1])) is None


def test_short_and_empty_texts_have_signatures():
    near = NearDuplicates()
    assert near.seen("a", signature("two words")) is None
    assert near.seen("b", signature("Two words!")) == "a"
    assert near.seen("c", signature("")) is None


def test_a_long_text_is_hashed_in_chunks():
    words = prose(5, 10_000)
    assert signature(" ".join(words)).shape == (128,)
    assert np.array_equal(signature(" ".join(words)), signature("  ".join(words)))


def test_without_the_library_the_user_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasketch", None)
    with pytest.raises(UserError, match=r"pip install 'firsthand\[data\]'"):
        NearDuplicates()
