"""What counts as the right answer."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firsthand.evaluate.answers import MEASURES, best, f1, last_number, normalize


@pytest.mark.parametrize(
    ("measure", "answer", "right", "score"),
    [
        ("exact", " Paris\n", "Paris", 1),
        ("exact", "paris", "Paris", 0),
        ("normalized", "The Paris!", "paris", 1),
        ("normalized", "in Paris", "paris", 0),
        ("f1", "the cat sat on a mat", "cat on mat", 6 / 7),
        ("f1", "dog dog", "dog", 2 / 3),
        ("f1", "", "the", 1),
        ("f1", "", "dog", 0),
        ("starts", "Paris, of course", "Paris", 1),
        ("starts", "It is Paris", "Paris", 0),
        ("number", "16 - 3 - 4 = 9, so $18.", "9 * 2 = 18\n#### 18", 1),
        ("number", "#### 18\nQuestion: 7 apples", "#### 18", 1),
        ("number", "1,000.0", "#### 1000", 1),
        ("number", "it is 10-4", "4", 1),
        ("number", "it is -4", "-4", 1),
        ("number", "it is -4", "4", 0),
        ("number", "none", "0", 0),
    ],
)
def test_scores(measure, answer, right, score):
    assert MEASURES[measure](answer, right) == pytest.approx(score)


def test_numbers():
    assert last_number("from 1,234,567 to 12,34") == Decimal(34)
    assert last_number("x1.50.") == Decimal("1.50")
    assert last_number("#### none, 3") == Decimal(3)
    assert last_number("#### none") is None


def test_normalizing_is_the_rule_of_squad():
    assert normalize("An  apple, a day;\nthe-end") == "apple day theend"


def test_the_nearest_of_several():
    assert best("exact", "b", ["a", "b"]) == 1
    assert best("exact", "c", ["a", "b"]) == 0


@given(st.text(), st.text())
def test_every_measure_lies_between_0_and_1_and_knows_itself(one, two):
    for name, measure in MEASURES.items():
        assert 0 <= measure(one, two) <= 1
        assert name == "number" or measure(one, one) == 1
    assert f1(one, two) == f1(two, one)
