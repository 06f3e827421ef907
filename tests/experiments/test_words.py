"""Settings in words of the command line."""

import pytest

from firsthand.errors import UserError
from firsthand.experiments.words import describe, distinct, is_setting, slug, split_outside


def test_cut_outside_of_brackets_and_quotes() -> None:
    assert split_outside("rope,{part: rope, theta: 1e3},[a, b], 'x,y'", ",") == [
        "rope",
        "{part: rope, theta: 1e3}",
        "[a, b]",
        "'x,y'",
    ]
    assert split_outside("tiny  model.ffn={part: gated, d_ff: 8}", " ") == ["tiny", "model.ffn={part: gated, d_ff: 8}"]


@pytest.mark.parametrize("text", ["{part: a", "a]", "'x"])
def test_what_is_left_open_is_told(text: str) -> None:
    with pytest.raises(UserError, match="not closed"):
        split_outside(text, ",")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("model.position=rope", "rope"),
        ("model.ffn={part: gated, activation: silu}", "gated activation=silu"),
        ("model.mixer=[attention, {part: mamba2, d_state: 16}]", "attention+mamba2 d_state=16"),
        ("model.mixer=ideas/mine.py:Mixer", "mine.py:Mixer"),
        ("model.d_ff=256", "d_ff=256"),
        ("train.optimizer.lr=1e-3", "lr=1e-3"),
        ("train.clip=null", "clip=null"),
    ],
)
def test_short_names(setting: str, said: str) -> None:
    assert describe(setting) == said


def test_folders_and_repeated_names() -> None:
    assert slug("mine.py:Mixer d_state=16") == "mine.py-Mixer-d_state-16"
    assert slug("α") == "run"
    assert distinct(["a", "b", "a", "a"], "{} ({})") == ["a", "b", "a (2)", "a (3)"]


def test_settings_and_recipes_are_told_apart() -> None:
    assert is_setting("tokenizer=char")
    assert is_setting("model.ffn={part: gated}")
    assert not is_setting("recipes/tiny.yaml")
    assert not is_setting("tiny model.position=alibi")
