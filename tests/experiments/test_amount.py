"""Budgets in words."""

import pytest

from firsthand.errors import UserError
from firsthand.experiments.amount import BOUNDS, budget_settings, parse_amount


@pytest.mark.parametrize(
    ("word", "bound", "value"),
    [
        ("300s", "seconds", 300),
        ("5m", "seconds", 300),
        ("1.5min", "seconds", 90),
        ("2h", "seconds", 7200),
        ("20Mtok", "tokens", 2e7),
        ("2e6tok", "tokens", 2e6),
        ("500 ktokens", "tokens", 5e5),
        ("1e14flop", "flops", 1e14),
        ("100Tflops", "flops", 1e14),
        ("500steps", "steps", 500),
        ("2ksteps", "steps", 2000),
    ],
)
def test_words(word: str, bound: str, value: float) -> None:
    assert parse_amount(word) == (bound, pytest.approx(value))


@pytest.mark.parametrize("word", ["", "300", "s", "five minutes", "-3s", "3 parsecs", "1e14", "nan s", "3,5s"])
def test_what_is_no_budget_is_told_how_one_is_written(word: str) -> None:
    with pytest.raises(UserError, match="20Mtok"):
        parse_amount(word)


@pytest.mark.parametrize("word", ["0s", "0.5steps", "1e999tok"])
def test_impossible_amounts(word: str) -> None:
    with pytest.raises(UserError, match="more than nothing"):
        parse_amount(word)


def test_a_mega_second_is_not_five_minutes() -> None:
    with pytest.raises(UserError, match="no prefix"):
        parse_amount("5Ms")


def test_a_budget_is_the_only_bound_of_a_run() -> None:
    nothing = ["train.steps=null", "train.seconds=null", "train.flops=null"]
    assert sorted(budget_settings("20Mtok")) == sorted(["train.tokens=20000000.0", *nothing])
    assert budget_settings("40steps")[0] == "train.steps=40"
    assert budget_settings(None) == []
    assert len(BOUNDS) == 4
