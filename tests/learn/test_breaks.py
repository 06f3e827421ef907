"""Predict, train with a slip, compare: the outcome is a rule, and it is written down whatever it is."""

import json
from pathlib import Path

import pytest
import torch

from firsthand.errors import UserError
from firsthand.learn import breaks, manifest
from firsthand.learn.breaks import outcome, setting, write_part
from firsthand.parts import find

QUICK = (
    "data.source=my.txt",
    "data.validation=tail:0.2",
    "data.batch_tokens=256",
    "model.n_layers=1",
    "model.d_model=16",
    "model.n_heads=2",
    "model.d_ff=16",
    "train.sample_prompt=a",
)
STILL = "def constant(warmup=0.0):\n    return lambda fraction: 1e-9\n"
WILD = "import torch\n\n\ndef constant(warmup=0.0):\n    return lambda fraction: float('nan')\n"


@pytest.fixture
def slip(mine, lessons, monkeypatch):
    """Writes the file of the slip; the runs are tiny."""
    Path("my.txt").write_text("".join(f"line {number} rhymes with {number % 7}\n" for number in range(400)))
    monkeypatch.setattr(breaks, "QUICK", QUICK)
    said = {}

    def write(exercise, mutant, folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{mutant}.py").write_text(said["text"])
        return f"{folder / f'{mutant}.py'}:constant"

    monkeypatch.setattr(breaks, "write_part", write)
    return lambda text: said.update(text=text)


@pytest.mark.parametrize(
    ("broken", "right", "expected"),
    [
        (2.0, 2.0, "same"),
        (2.02, 2.0, "same"),
        (2.1, 2.0, "worse"),
        (0.1, 2.0, "better"),
        (None, 2.0, "nan"),
        (float("nan"), 2.0, "nan"),
    ],
)
def test_the_outcome_is_a_rule(broken, right, expected) -> None:
    assert outcome(broken, right) == expected


def test_an_experiment_is_noted_with_what_was_expected(slip, mine, firsthand) -> None:
    slip(STILL)
    code, said, _ = firsthand("break", "constant", "rises", "--prediction", "better", "--steps", "40")
    assert code == 0
    assert "worse: the validation loss ends higher; you expected better." in said
    log = (mine.path / "LOG.md").read_text()
    assert "broke constant with rises" in log
    assert "> What if the rate rises?" in log
    assert "I expected: **better**. It came: **worse**" in log
    assert "not as predicted" in log
    told = mine.state().predictions["constant:rises"]
    assert (told["prediction"], told["outcome"], told["steps"]) == ("better", "worse", 40)


def test_a_run_that_fails_is_an_answer(slip, mine, firsthand) -> None:
    slip(WILD)
    arguments = ("break", "constant", "rises", "--prediction", "nan", "--steps", "25", "--json")
    code, said, _ = firsthand(*arguments)
    told = json.loads(said)
    assert code == 0
    assert (told["outcome"], told["prediction"]) == ("nan", "nan")
    right = Path("runs/break-constant/right-25/metrics.jsonl").read_bytes()
    assert firsthand(*arguments)[0] == 0
    assert Path("runs/break-constant/right-25/metrics.jsonl").read_bytes() == right, "the right one is trained once"


def test_what_cannot_be_asked_is_told(slip, mine, firsthand) -> None:
    slip(STILL)
    assert "'soon' is no prediction" in firsthand("break", "constant", "rises", "--prediction", "soon")[2]
    assert "With --json the prediction is given" in firsthand("break", "constant", "rises", "--json")[2]
    assert "No setting of a run takes the part of sampler alone: it acts" in firsthand("break", "sampler", "x")[2]


def test_who_names_no_slip_hears_which_there_are(firsthand) -> None:
    code, _, said = firsthand("break")
    assert code
    assert "firsthand learn break attention_op no_scale\n" in said
    assert "decay_not_stretched" in firsthand("break", "schedule")[2]


def test_parts_without_a_slot_are_refused(lessons) -> None:
    assert setting(manifest.exercise("norms")) == "model.norm"
    with pytest.raises(UserError, match="No setting of a run takes the part of linear"):
        setting(manifest.exercise("linear"))


def test_a_real_slip_becomes_a_part(tmp_path) -> None:
    exercise = manifest.exercise("attention_op")
    spec = write_part(exercise, "no_scale", tmp_path)
    query, key, value = torch.full((2, 1, 3, 4), 0.5), torch.eye(3, 4), torch.eye(3)
    key, value = key.expand(2, 1, 3, 4), value.expand(2, 1, 3, 3)
    visible = torch.ones(3, 3, dtype=torch.bool)
    parts = [find("train.attention", {}, spec), find("train.attention", {}, f"{exercise.shipped}:attention")]
    broken, right = (part(query * torch.arange(4), key, value, visible) for part in parts)
    expected = (query * torch.arange(4) @ key.transpose(-1, -2)).softmax(-1)
    torch.testing.assert_close(broken, expected)
    assert not torch.allclose(right, expected, atol=1e-3)
    with pytest.raises(UserError, match=r"attention_op has no slip 'no_scales'. Did you mean 'no_scale'"):
        write_part(exercise, "no_scales", tmp_path)
