"""The settings that a sweep tries, and the searches through them."""

import sys

import numpy as np
import pytest

from firsthand.errors import UserError
from firsthand.experiments.sweep.axes import Choices, Range, parse_axis
from firsthand.experiments.sweep.search import SEARCHES, Point

LR = Range("train.optimizer.lr", 1e-4, 1e-2, log=True)
PART = Choices("model.ffn", ("mlp", "{part: gated, activation: silu}"))


@pytest.mark.parametrize(
    ("word", "axis"),
    [
        ("model.d_ff=64,128", Choices("model.d_ff", ("64", "128"))),
        ("model.ffn=mlp,{part: gated, activation: silu}", PART),
        ("train.optimizer.lr=1e-4..1e-2:log", LR),
        ("model.n_layers=2..8:int", Range("model.n_layers", 2.0, 8.0, whole=True)),
        ("x.y=-1..1:9", Range("x.y", -1.0, 1.0, points=9)),
        ("model.d_ff=64", None),
        ("model.mixer=[attention, mamba2]", None),
        ("model.mixer=../mine.py:Mixer", None),
        ("train.clip=", None),
    ],
)
def test_words(word: str, axis: Choices | Range | None) -> None:
    assert parse_axis(word) == axis


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("rope,alibi", "neither a setting"),
        ("a.b=2..1", "goes upwards"),
        ("a.b=0..1:log", "more than 0"),
        ("a.b=0.5..3:int", "whole numbers"),
        ("a.b=1..2:lin", "'lin' says nothing"),
        ("a.b=1..2:1", "at least 2"),
        ("a.b=low..high", "LOW..HIGH"),
    ],
)
def test_mistakes(word: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse_axis(word)


def test_grids_of_ranges() -> None:
    assert LR.grid() == ["0.0001", "0.0003162", "0.001", "0.003162", "0.01"]
    assert Range("n", 1.0, 3.0, whole=True).grid() == ["1", "2", "3"]
    assert Range("n", 2.0, 32.0, log=True, whole=True).grid() == ["2", "4", "8", "16", "32"]
    assert Range("n", 0.0, 1.0, points=3).grid() == ["0.0", "0.5", "1.0"]


def test_draws_fill_their_range_evenly() -> None:
    random = np.random.default_rng(0)
    logs = np.log10([float(LR.draw(random)) for _ in range(2000)])
    assert np.histogram(logs, bins=4, range=(-4, -2))[0].tolist() == pytest.approx([500] * 4, abs=70)
    whole = [Range("n", 2.0, 4.0, whole=True).draw(random) for _ in range(900)]
    assert {value: whole.count(value) for value in ("2", "3", "4")} == pytest.approx(
        {"2": 300, "3": 300, "4": 300}, abs=60
    )


def _answers(name: str, runs: int, seed: int = 0) -> list[Point]:
    """What a search asks when the best learning rate is 1e-3 and gated is better by a little."""
    search = SEARCHES[name]([LR, PART], runs, seed)
    asked = []
    for _ in range(search.runs):
        asked.append(search.ask())
        distance = abs(np.log10(float(asked[-1][LR.key])) + 3)
        search.tell(None if distance > 0.9 else float(distance) - 0.1 * (asked[-1]["model.ffn"] != "mlp"))
    return asked


def test_a_grid_has_every_combination_once() -> None:
    search = SEARCHES["grid"]([LR, PART], None, 0)
    asked = [search.ask() for _ in range(search.runs)]
    assert len(asked) == len({tuple(point.values()) for point in asked}) == 10
    with pytest.raises(UserError, match="--runs belongs to"):
        SEARCHES["grid"]([PART], 3, 0)


@pytest.mark.parametrize("name", ["random", "optuna"])
def test_the_same_answers_lead_to_the_same_points(name: str) -> None:
    assert _answers(name, 12) == _answers(name, 12)
    assert _answers(name, 12) != _answers(name, 12, seed=1)
    assert _answers(name, 14)[:12] == _answers(name, 12)


def test_random_points_are_never_repeated() -> None:
    search = SEARCHES["random"]([Choices("a", ("1", "2", "3"))], 10, 0)
    assert sorted(search.ask()["a"] for _ in range(search.runs)) == ["1", "2", "3"]


def test_optuna_learns_where_the_best_lies() -> None:
    asked = _answers("optuna", 60)
    late = np.abs(np.log10([float(point[LR.key]) for point in asked[30:]]) + 3)
    assert np.median(late) < 0.25  # of even draws it would be 0.5
    assert sum(point["model.ffn"] != "mlp" for point in asked[30:]) > 20


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"firsthand\[lab\]"):
        SEARCHES["optuna"]([PART], None, 0)
