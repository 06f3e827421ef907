"""Milestone M7: a small model of M3 is made smaller, with parts of the learner's and with the shipped ones."""

import json
from pathlib import Path

import pytest

from firsthand.cli import main
from firsthand.errors import UserError
from firsthand.experiments import smaller
from firsthand.learn import manifest, workspace
from firsthand.learn.mine import lesson_parts
from firsthand.learn.verdict import Verdict
from firsthand.learn.workspace import sha256_of

TINY = [
    "data.source=my.txt",
    "data.validation=tail:0.2",
    "data.batch_tokens=256",
    "train.steps=3",
    "train.save_every=3",
    "train.sample_prompt=a",
    "train.evaluate_tokens=512",
    "model.n_layers=2",
    "model.d_model=32",
    "model.n_heads=2",
    "model.d_ff=64",
]
COARSE = """import torch


def quantize_int8(weight, per_channel=True):
    scale = weight.abs().max().view(1, 1) / 3
    return (weight / scale).round().to(torch.int8), scale


def dequantize(q, scale):
    return q * scale
"""


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A workspace in an empty folder, and the run of M3 beside it."""
    monkeypatch.chdir(tmp_path)
    Path("my.txt").write_text("".join(f"line {number} rhymes with {number % 7}\n" for number in range(400)))
    monkeypatch.setattr(smaller, "RECOVERY", 2)
    monkeypatch.setattr(smaller, "LESSONS", 2)
    made = workspace.start(Path("my_llm"))
    call("train", "learn", "run.name=my-M3", "--json", *TINY)
    return made


def call(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


def passes(desk, name, text):
    exercise = manifest.exercise(name)
    desk.file(exercise).write_text(text)
    desk.checked(exercise, Verdict(name, "passed"), sha256_of(desk.file(exercise)))


def test_yours_stand_beside_the_shipped_ones(desk, capsys) -> None:
    passes(desk, "quantize", COARSE)
    capsys.readouterr()
    assert call("learn", "milestone", "M7", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["mine"] == ["quantize"]
    yours, shipped = ({one["name"]: one for one in told["versions"][name]} for name in ("yours", "shipped"))
    assert len(yours) == 9
    assert set(shipped) == {"8 bits", "8 bits, one scale a map", "the student in 8 bits"}
    assert shipped["8 bits"]["bytes"] > yours["8 bits"]["bytes"], "one scale is fewer than one for each row"
    assert shipped["8 bits"]["bits_per_byte"] != yours["8 bits"]["bits_per_byte"]
    assert all(Path(path).is_file() for path in told["pictures"])
    assert json.loads(Path("runs/my-M7/smaller.json").read_text()) == told["versions"]
    assert "M7" in desk.state().milestones
    assert "| 8 bits |" in (desk.path / "LOG.md").read_text()


def test_without_parts_of_yours_there_is_one_series(desk, capsys) -> None:
    assert call("learn", "milestone", "m7") == 0
    said = capsys.readouterr().out
    assert "0 of 3 parts are yours" in said
    assert "nothing is both smaller and better" in said
    assert list(json.loads(Path("runs/my-M7/smaller.json").read_text())) == ["shipped"]


def test_what_is_missing_is_told_first(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    workspace.start(Path("my_llm"))
    assert call("learn", "milestone", "M7") == 1
    assert "firsthand learn milestone M3 first" in capsys.readouterr().err
    assert call("learn", "milestone", "M7", "train.steps=5") == 1
    assert "leave out train.steps=5" in capsys.readouterr().err


def test_a_part_that_changed_since_is_refused(tmp_path) -> None:
    desk = workspace.start(tmp_path / "my_llm")
    assert lesson_parts(desk, 15).banner == "0 of 3 parts are yours"
    passes(desk, "quantize", COARSE)
    found = lesson_parts(desk, 15)
    assert found.banner == "1 of 3 parts are yours: quantize"
    assert found.functions.quantize_int8 is not found.shipped.quantize_int8
    assert found.functions.distill_loss is found.shipped.distill_loss
    desk.file(manifest.exercise("quantize")).write_text(COARSE + "# a thought\n")
    with pytest.raises(UserError, match="has changed since quantize passed"):
        lesson_parts(desk, 15)
