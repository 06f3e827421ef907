"""Runs with a teacher: named, or by what it has said; resumed exactly; nothing of the lessons in what is saved."""

import json
import os
import signal

import pytest
import torch

import firsthand
from firsthand.cli import main
from firsthand.compress.distillation.matching import is_lesson
from firsthand.errors import Stopped, UserError
from firsthand.experiments.run import execute
from firsthand.experiments.watch import Silent

from .small_run import tree, weights

INSIDE = "hidden: {layers: [[0, 1]]}, attention: {layers: [[1, 0]]}"


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """They have tests of their own."""
    monkeypatch.setattr("firsthand.experiments.run.plot_run", lambda folder: None)


@pytest.fixture
def teacher(recipe, tmp_path):
    folder = tmp_path / "teacher"
    execute(
        tree(recipe, f"run.dir={folder}", "model.d_model=48", "model.n_heads=3", "train.save_every=12", "train.steps=6")
    )
    return folder


def taught(recipe, folder, objective, *settings):
    return tree(recipe, f"run.dir={folder}", f"train.objective={{part: distill, {objective}}}", *settings)


def call(capsys, *words):
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        main(list(map(str, words)))
    return exit_.value.code, capsys.readouterr()


def test_a_student_of_a_run_is_another_than_one_alone_and_an_ordinary_model(recipe, tmp_path, teacher):
    alone = execute(tree(recipe, f"run.dir={tmp_path / 'alone'}"))
    student = execute(taught(recipe, tmp_path / "student", f"teacher: {teacher}, alpha: 0.9, {INSIDE}"))
    assert student["validation_loss"] != alone["validation_loss"]
    assert student["parameters"] == alone["parameters"]
    assert student["flops"] == alone["flops"]
    saved = weights(tmp_path / "student")
    assert saved.keys() == weights(tmp_path / "alone").keys()
    assert not any(is_lesson(name) for name in saved)


@pytest.mark.parametrize("more", [INSIDE, "alpha: 1.0, on_policy: {share: 0.5, prompt_tokens: 4}"])
def test_stopped_and_resumed_is_bit_equal(recipe, tmp_path, teacher, more):
    whole = execute(taught(recipe, tmp_path / "whole", f"teacher: {teacher}, {more}"))

    class StopAt(Silent):
        def step(self, line, fraction):
            if line["step"] == 5:
                os.kill(os.getpid(), signal.SIGTERM)

    config = taught(recipe, tmp_path / "run", f"teacher: {teacher}, {more}")
    with pytest.raises(Stopped, match="--resume"):
        execute(config, show=StopAt())
    resumed = execute(config, resume=True)
    assert resumed["validation_loss"] == whole["validation_loss"]
    for name, value in weights(tmp_path / "whole").items():
        assert torch.equal(value, weights(tmp_path / "run")[name]), name


def test_what_a_teacher_has_said_is_written_once_and_learnt_from(recipe, tmp_path, teacher, capsys):
    words = ["data", "teach", recipe, "--teacher", teacher, "--out", tmp_path / "taught", "--top-k", "40", "--json"]
    code, streams = call(capsys, *words)
    told = json.loads(streams.out)
    assert code == 0, streams.err
    assert told["covered"] > 0.99
    assert told["top_k"] <= 40
    student = execute(
        taught(recipe, tmp_path / "student", f"logits: {tmp_path / 'taught'}, alpha: 1.0", "train.steps=150")
    )
    begun = execute(taught(recipe, tmp_path / "begun", f"logits: {tmp_path / 'taught'}, alpha: 1.0", "train.steps=1"))
    assert student["train_loss"] < 0.5 * begun["train_loss"]
    code, streams = call(capsys, *words)  # all is there already
    assert (code, json.loads(streams.out)["covered"]) == (0, told["covered"])
    code, streams = call(capsys, "data", "teach", teacher, *words[3:])  # a run's text is the same text
    assert code == 0, streams.err


def test_a_teacher_writes_texts_that_a_student_reads(recipe, tmp_path, teacher, capsys):
    file = tmp_path / "written.jsonl"
    lengths = ["--prompt-tokens", "4", "--max-tokens", "12"]
    words = ["data", "write", recipe, "--teacher", teacher, "--out", file, *lengths, "--json"]
    code, streams = call(capsys, *words, "--texts", "20")
    assert code == 0, streams.err
    first = file.read_text()
    assert len(first.splitlines()) == json.loads(streams.out)["texts"] == 20
    assert all(set(json.loads(line)) == {"text"} for line in first.splitlines())
    call(capsys, *words, "--texts", "40")
    assert file.read_text().startswith(first[: len("".join(first.splitlines(True)[:16]))])
    file.unlink()
    call(capsys, *words, "--texts", "40")
    assert file.read_text().splitlines()[:16] == first.splitlines()[:16]
    execute(tree(recipe, f"run.dir={tmp_path / 'reader'}", f"data.source={file}", f"tokenizer={teacher / 'data'}"))
    model, _ = firsthand.load(tmp_path / "reader")
    assert model.context_length == 16


def test_another_tokenizer_is_refused_by_both_names(recipe, tmp_path, teacher):
    with pytest.raises(UserError, match=rf"(?s){teacher}.*the run run.*different tokenizers"):
        execute(taught(recipe, tmp_path / "run", f"teacher: {teacher}", "tokenizer=byte"))


def test_a_teacher_that_is_not_here_is_told_before_data_are_read(recipe, tmp_path):
    with pytest.raises(UserError, match="There is no nobody"):
        execute(taught(recipe, tmp_path / "run", "teacher: nobody"))
    assert not (tmp_path / "run" / "data").exists()


def test_a_recipe_without_a_teacher_says_so_before_it_reads_data(recipe, tmp_path):
    with pytest.raises(UserError, match=r"needs a teacher.*train\.objective\.teacher=MODEL"):
        execute(taught(recipe, tmp_path / "run", "alpha: 0.5"))
    assert not (tmp_path / "run").exists()


def test_conversations_have_no_stored_logits(recipe, tmp_path, teacher, capsys):
    records = tmp_path / "records.jsonl"
    records.write_text("".join(json.dumps({"prompt": f"{i}?", "completion": f"{i}."}) + "\n" for i in range(30)))
    settings = [
        "data.kind=conversations",
        f"data.source={records}",
        "data.row_tokens=16",
        "data.validation=documents:0.2",
    ]
    code, streams = call(capsys, "data", "teach", recipe, *settings, "--teacher", teacher, "--out", tmp_path / "taught")
    assert code != 0
    assert "conversations" in streams.err


def test_a_student_is_compared_alone_and_taught(recipe, tmp_path, teacher, capsys):
    """The command of the manual, in small: one folder of answers for all seeds."""
    taught = tmp_path / "taught"
    call(capsys, "data", "teach", recipe, "--teacher", teacher, "--out", taught, "--top-k", "8")
    sides = [
        f"{recipe} train.objective=next_token",
        f"{recipe} train.objective={{part: distill, logits: {taught}}}",
    ]
    options = ["--names", "alone,taught", "--seeds", "2", "--out", tmp_path / "compared", "train.steps=2", "--json"]
    code, streams = call(capsys, "compare", *sides, *options)
    assert code == 0, streams.err
    page = json.loads((tmp_path / "compared" / "report.json").read_text())
    assert [variant["variant"] for variant in page["variants"]] == ["alone", "taught"]
    assert page["variants"][1]["difference"]["pairs"] == 2
