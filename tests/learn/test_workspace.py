"""The folder: made once, found from anywhere near, repaired from its history, and never overwritten."""

import json
from pathlib import Path

import pytest

from firsthand.errors import UserError
from firsthand.learn import grading, manifest, stubs, workspace
from firsthand.learn.verdict import Verdict


def test_start_keeps_what_is_there(mine) -> None:
    (mine.path / "LOG.md").write_text("mine")
    workspace.start(mine.path)
    assert (mine.path / "LOG.md").read_text() == "mine"
    assert "tutor" in (mine.path / "AGENTS.md").read_text()


def test_start_refuses_a_folder_of_other_work(tmp_path) -> None:
    (tmp_path / "thesis.txt").write_text("")
    with pytest.raises(UserError, match="holds other files and is no workspace"):
        workspace.start(tmp_path)
    with pytest.raises(UserError, match="is a file"):
        workspace.start(tmp_path / "thesis.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_it_is_found_here_above_or_by_name(mine, tmp_path) -> None:
    (mine.path / "deep").mkdir()
    for at in (Path.cwd(), mine.path, mine.path / "deep"):
        assert workspace.find(at=at).path.resolve() == mine.path.resolve()
    assert workspace.find(mine.path).path == mine.path
    with pytest.raises(UserError, match="firsthand learn start"):
        workspace.find(at=tmp_path)
    with pytest.raises(UserError, match="is not a workspace"):
        workspace.find(tmp_path)


def test_stubs_arrive_once_and_names_are_added_to_a_file_that_grew(mine, lessons, right) -> None:
    first = manifest.lesson(1)
    file = mine.path / "rates.py"
    file.write_text(right)
    assert mine.visit(first) == [file], "linear is missing, so its hole comes"
    text = file.read_text()
    assert text.startswith(right)
    assert "import math" in text
    assert set(stubs.definitions(text)) == {"constant", "linear"}
    assert mine.visit(first) == []
    assert file.read_text() == text


def test_a_file_that_does_not_parse_is_left_alone(mine, lessons) -> None:
    (mine.path / "rates.py").write_text("def constant(:")
    mine.visit(manifest.lesson(1))
    assert (mine.path / "rates.py").read_text() == "def constant(:"


def test_resetting_keeps_every_old_version(mine, lessons) -> None:
    exercise = manifest.exercise("constant")
    file = mine.file(exercise)
    for text in ("one", "two"):
        file.write_text(text)
        stubs.put_back(exercise, file)
    assert (file.with_name("rates.py.bak").read_text(), file.with_name("rates.py.bak2").read_text()) == ("one", "two")
    assert file.read_text() == exercise.stub.read_text()


def test_a_damaged_state_is_kept_and_made_again(mine, lessons, right, judge) -> None:
    exercise = manifest.exercise("constant")
    mine.file(exercise).write_text(right)
    grading.judged(mine, exercise, judge=judge)
    before = mine.state()
    mine.state_file.write_text('{"schema": 1, "exerc')
    assert mine.state() == before
    assert before.of("constant").passed
    (kept,) = mine.state_file.parent.glob("state.damaged-*.json")
    assert kept.read_text() == '{"schema": 1, "exerc'
    assert "was damaged" in mine.notes[0]
    mine.state_file.unlink()
    assert mine.state() == before


def test_half_a_line_in_the_history_costs_only_itself(mine, lessons) -> None:
    mine.record("visit", exercise="constant")
    with mine.history.path.open("ab") as file:
        file.write(b'{"at": "2026')
    mine.record("hint", exercise="constant", ladder="default", rung=1)
    mine.state_file.unlink()
    assert [one["what"] for one in mine.history.events()] == ["visit", "hint"]
    assert mine.state().of("constant").hints == 1


def test_a_full_disk_loses_nothing(mine, lessons, monkeypatch) -> None:
    mine.record("visit", exercise="constant")
    before = mine.state_file.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(workspace.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        mine.record("hint", exercise="constant", ladder="default", rung=1)
    assert mine.state_file.read_bytes() == before
    assert not list(mine.state_file.parent.glob("*.partial"))


def test_the_first_pass_and_no_other_is_in_the_log(mine, lessons, right, judge) -> None:
    exercise = manifest.exercise("constant")
    mine.file(exercise).write_text(right)
    for _ in range(2):
        grading.judged(mine, exercise, judge=judge)
    log = (mine.path / "LOG.md").read_text()
    assert log.count("passed constant") == 1
    assert "1 check" in log
    assert "What I learned:" in log


def test_a_file_saved_while_it_is_checked_counts_for_no_run(mine, lessons, right) -> None:
    exercise = manifest.exercise("constant")
    mine.file(exercise).write_text(right)

    def slow(exercise, file, seed):
        file.write_text(right + "# more\n")
        return Verdict(exercise.id, "passed")

    grading.judged(mine, exercise, judge=slow)
    assert mine.state().of("constant").sha256 is None


def test_settings_say_what_is_wrong(mine) -> None:
    (mine.path / "learn.toml").write_text("threads = 0")
    with pytest.raises(UserError, match=r"learn\.toml: threads: .*greater than 0"):
        mine.settings()
    (mine.path / "learn.toml").write_text("threads = ")
    with pytest.raises(UserError, match="not valid TOML"):
        mine.settings()
    (mine.path / "learn.toml").unlink()
    assert mine.settings().threads is None


def test_every_event_is_one_line_of_json(mine, lessons) -> None:
    mine.record("visit", exercise="constant")
    mine.record("skip", exercise="linear")
    lines = mine.history.path.read_text().splitlines()
    assert [json.loads(line)["what"] for line in lines] == ["visit", "skip"]
    assert mine.state().here == "linear"
