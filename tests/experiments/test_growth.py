"""Growth: what is measured, what is left out, and what is said about it."""

import json

import pytest

from firsthand.cli.growth import doubling
from firsthand.errors import UserError
from firsthand.experiments.growth import Cost, Sizes, crossings, growth
from firsthand.experiments.growth_page import overtaking, write_page
from firsthand.model.mixers import MIXERS

SMALL = Sizes(d_model=16, n_heads=2)


def test_every_mixer_is_measured_at_every_length():
    seen = []
    costs = growth({name: name for name in MIXERS}, [3, 8], SMALL, rounds=1, report=seen.append)
    assert [(cost.length, cost.mixer) for cost in costs] == [(length, name) for length in (3, 8) for name in MIXERS]
    assert seen == costs
    for cost in costs:
        assert cost.train_seconds > 0
        assert cost.decode_seconds > 0
        assert cost.state_numbers > 0


def test_the_state_of_attention_grows_with_the_length():
    short, long = growth({"attention": "attention"}, [4, 8], SMALL, rounds=1)
    assert long.state_numbers == 2 * short.state_numbers == 2 * 8 * 16


def test_what_would_take_too_long_is_left_out():
    first, *rest = growth({"attention": "attention"}, [4, 4000, 8000], SMALL, seconds=1e-9, rounds=1)
    assert first.train_seconds is not None
    assert [cost.train_seconds for cost in rest] == [None, None]
    assert [cost.decode_seconds for cost in rest] == [None, None]
    assert rest[0].state_numbers is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"a": "attention"}, [8, 4]), "must be positive and grow"),
        (({"a": "attention"}, []), "must be positive and grow"),
        (({"a": "attentin"}, [4]), "no part called 'attentin'.*attention"),
        (({"a": "attention"}, [4], Sizes(16, 3)), "d_model = 16 cannot be shared by n_heads = 3"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        growth(*arguments)


def costs(**trains):
    """Training times by mixer, at 1, 2, 4 … tokens."""
    return [
        Cost(name, 2**n, train_seconds=value, train_bytes=1000, decode_seconds=1.0, state_numbers=4)
        for name, values in trains.items()
        for n, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ([9, 9, 1, 1], 4),
        ([0.5, 0.5, 0.5, 0.5], 1),
        ([9, 9, 9, 9], None),
        ([0.5, 9, 9, 1], 8),  # what is lost again does not count
        ([9, 9, 1, None], 4),
    ],
)
def test_a_crossing_is_where_it_is_cheaper_from_then_on(own, expected):
    own = [None if value is None else float(value) for value in own]
    found = crossings(costs(attention=[1.0, 2.0, 4.0, 8.0], other=own), "attention")
    assert found == {"other": {"train_seconds": expected, "decode_seconds": None}}


def test_attention_that_became_too_slow_is_overtaken():
    found = crossings(costs(attention=[1.0, 2.0, None], other=[5.0, 5.0, 5.0]), "attention")
    assert found["other"]["train_seconds"] == 4


def test_the_page_says_it_in_words_and_figures(tmp_path):
    measured = costs(attention=[1.0, 2.0, 4.0], other=[3.0, 3.0, 3.0])
    files = write_page(tmp_path, measured, {"d_model": 16}, "firsthand growth a")
    assert {path.name for path in files} == {"growth.md", "growth.json", "growth.png", "growth.svg"}
    page = (tmp_path / "growth.md").read_text()
    assert "- `other`: in training from 4 tokens on, in decoding never." in page
    assert "| 4 | 4,000 | 3,000 |" in page
    assert json.loads((tmp_path / "growth.json").read_text())["costs"][0]["mixer"] == "attention"


def test_without_attention_nothing_is_overtaken():
    assert "Not measured" in overtaking(costs(other=[1.0]))


@pytest.mark.parametrize(
    ("text", "expected"), [("64..256", [64, 128, 256]), ("3..10", [3, 6, 10]), ("5,9", [5, 9]), ("7", [7])]
)
def test_lengths(text, expected):
    assert doubling(text) == expected


@pytest.mark.parametrize("text", ["a..b", "1..2..3", "x", ""])
def test_lengths_that_are_none(text):
    with pytest.raises(UserError, match="neither a range"):
        doubling(text)
