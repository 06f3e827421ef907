"""A new learner, from start to a diff with the shipped code, through the program as they type it."""

import json
from pathlib import Path

import pytest


def out(result, code=0):
    assert result[0] == code, result
    return result[1]


@pytest.fixture
def begun(firsthand, lessons, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out(firsthand("start", "--quick"))
    return Path("my_llm")


def test_start_says_where_to_go(firsthand, lessons, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = out(firsthand("start"))
    assert "GFLOP/s in a matrix product" in said
    assert "Exercise constant (about 5 minutes): fill in constant" in said
    assert (tmp_path / "my_llm" / "rates.py").is_file()
    assert "was there already" in out(firsthand("start", "--quick"))
    told = json.loads(out(firsthand("start", "--quick", "--json")))
    assert (told["here"], told["machine"]) == ("constant", None)


def test_without_a_workspace_it_says_how_to_make_one(firsthand, lessons, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = firsthand("check")
    assert code == 1
    assert "firsthand learn start" in err


def test_the_walk(firsthand, begun, right) -> None:
    file = begun / "rates.py"
    code, said, _ = firsthand("check")
    assert code == 3
    assert "○ constant   not started" in said
    code, _, err = firsthand("next")
    assert code == 1
    assert "has not passed yet" in err

    file.write_text(right + "# bounds\n")
    assert "✗ constant   bounds" in out(firsthand("check"), 1)
    assert "p1" in out(firsthand("hint"))

    file.write_text(right + "# rises\n")
    said = out(firsthand("check", "constant"), 1)
    assert "✗ constant   rises" in said
    for words in ("What happened: w", "Why:           y", "Next step:     n", "▁▂", "Note: slow"):
        assert words in said
    rungs = [out(firsthand("hint", "constant")) for _ in range(5)]
    assert [f"m{number}" in said for number, said in zip((1, 2, 3, 4, 4), rungs, strict=True)] == [True] * 5
    assert "a question" in rungs[0]
    assert "solution constant --give-up" in rungs[4]
    code, _, err = firsthand("solution")
    assert code == 1
    assert "--give-up" in err

    file.write_text(right)
    assert "✓ constant   passed" in out(firsthand("check"))
    diff = out(firsthand("solution"))
    assert "--- rates.py (yours)" in diff
    assert "+++ train/schedules.py (shipped)" in diff
    assert "-    return lambda fraction: 1.0" in diff
    assert "warmup_cosine" not in diff, "only the names of the exercise are compared"
    assert "Exercise linear" in out(firsthand("next"))
    listed = out(firsthand("list"))
    assert "> linear" in listed
    assert "1 of 4 passed; about 27 minutes" in listed

    state = json.loads(out(firsthand("progress", "--json")))["exercises"]["constant"]
    assert (state["status"], state["attempts"], state["hints"], state["gave_up"]) == ("passed", 3, 5, False)
    log = (begun / "LOG.md").read_text()
    assert "passed constant" in log
    assert "3 checks, 5 hints" in log


def test_giving_up_works_and_is_noted(firsthand, begun, right) -> None:
    shown = out(firsthand("solution", "constant", "--give-up"))
    assert shown.startswith("def constant(warmup: float = 0.0) -> Schedule:")
    assert "write yours from memory" in shown
    (begun / "rates.py").write_text(right)
    out(firsthand("check"))
    assert "solution read" in out(firsthand("list"))
    assert "after reading the solution" in (begun / "LOG.md").read_text()


def test_nothing_is_locked(firsthand, begun) -> None:
    said = out(firsthand("goto", "2"))
    assert "It builds on 1 (Schedules)" in said
    assert "New in your folder: norms.py, sampler.py" in said
    assert "Exercise sampler" in out(firsthand("next", "--skip"))
    told = json.loads(out(firsthand("goto", "2", "--json")))
    assert told["needs"] == [1]
    code, _, err = firsthand("goto", "9")
    assert code == 1
    assert "There are: 1, 2." in err


@pytest.mark.parametrize(("word", "code"), [("", 0), ("# bounds", 1), ("raise NotImplementedError", 3), ("# odd", 4)])
def test_exit_codes(firsthand, begun, word, code, right) -> None:
    (begun / "rates.py").write_text(right + word + "\n")
    assert firsthand("check")[0] == code
    told = json.loads(out(firsthand("check", "--json"), code))
    assert told["schema"] == 1
    assert set(told) >= {"exercise", "status", "stage", "property", "mutant", "what", "why", "next", "evidence"}


def test_check_all_ends_with_the_gravest(firsthand, begun, right) -> None:
    (begun / "rates.py").write_text(right)
    out(firsthand("goto", "2"))
    assert firsthand("check", "--all")[0] == 3
    (begun / "norms.py").write_text("# bounds\n")
    told = json.loads(out(firsthand("check", "--all", "--json"), 1))
    assert [one["status"] for one in told] == ["passed", "passed", "failed", "not started"]
    code, _, err = firsthand("check", "norms", "--all")
    assert code == 1
    assert "not both" in err
    assert "nearest" not in err


def test_a_file_that_is_gone_is_not_started(firsthand, begun) -> None:
    (begun / "rates.py").unlink()
    said = out(firsthand("check"), 3)
    assert "rates.py is not in my_llm" in said
    assert "firsthand learn goto 1" in said


def test_questions_are_answered_into_the_log(firsthand, begun, monkeypatch) -> None:
    import io
    import sys

    monkeypatch.setattr(sys, "stdin", io.StringIO("steps are wild at first\n\n"))
    assert "Why warm up?" in out(firsthand("explain", "constant"))
    log = (begun / "LOG.md").read_text()
    assert "**Why warm up?**\n\nsteps are wild at first" in log
    assert "Why decay?" not in log, "no answer, no entry"
    assert json.loads(out(firsthand("explain", "constant", "--json")))["questions"] == ["Why warm up?", "Why decay?"]


def test_reset_keeps_the_file_and_names_its_neighbours(firsthand, begun, right) -> None:
    (begun / "rates.py").write_text(right)
    said = out(firsthand("reset"))
    assert "what was there is rates.py.bak" in said
    assert "The same file holds linear" in said
    assert (begun / "rates.py.bak").read_text() == right
    assert "NotImplementedError" in (begun / "rates.py").read_text()


def test_another_workspace_by_name(firsthand, begun, tmp_path, right) -> None:
    out(firsthand("start", tmp_path / "other", "--quick"))
    (tmp_path / "other" / "rates.py").write_text(right)
    assert firsthand("check", "--workspace", tmp_path / "other")[0] == 0
    assert firsthand("check")[0] == 3
    code, _, err = firsthand("check", "--workspace", tmp_path / "lessons")
    assert code == 1
    assert "is not a workspace" in err


def test_a_damaged_state_is_told_and_repaired(firsthand, begun, right) -> None:
    (begun / "rates.py").write_text(right)
    out(firsthand("check"))
    (begun / ".learn" / "state.json").write_text("{")
    code, said, err = firsthand("list")
    assert code == 0
    assert "was damaged" in err
    assert "1 of 4 passed" in said
