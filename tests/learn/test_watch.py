"""A save is a check, a key is a verb, and neither needs a terminal."""

import os

import pytest

from firsthand.cli.learn.keys import Keys
from firsthand.cli.learn.watch import Session, loop
from firsthand.learn import manifest
from firsthand.learn.watching import Watched, exercise_in


def save(path, text, later):
    path.write_text(text)
    os.utime(path, ns=(later, later))


@pytest.fixture
def session(mine, lessons, judge):
    mine.visit(manifest.lesson(1))
    verbs = []
    made = Session(mine, judge, verbs.append)
    made.verbs = verbs
    return made


def test_only_changes_are_news(tmp_path) -> None:
    save(tmp_path / "a.py", "1", 1)
    watched = Watched(tmp_path)
    assert watched.changed() == []
    save(tmp_path / "a.py", "1", 2)
    save(tmp_path / "b.py", "1", 1)
    (tmp_path / "a.py~").write_text("")
    assert [path.name for path in watched.changed()] == ["a.py", "b.py"]
    (tmp_path / "a.py").unlink()
    assert watched.changed() == []


def test_a_save_checks_the_exercise_that_one_is_at(session, mine, right, capsys) -> None:
    save(mine.path / "rates.py", right, 5)
    session.look()
    said = capsys.readouterr().out
    assert "✓ constant   passed" in said
    assert "n goes on" in said
    session.look()
    assert capsys.readouterr().out == ""
    save(mine.path / "notes.py", "x = 1", 5)
    session.look()
    assert capsys.readouterr().out == "", "no exercise is in that file"


def test_another_file_is_checked_for_what_is_open_in_it(mine, lessons, right, judge) -> None:
    mine.visit(manifest.lesson(2))
    mine.record("check", exercise="constant", status="passed", sha256="0")
    found = exercise_in(mine, mine.path / "rates.py")
    assert found is not None
    assert found.id == "linear"


def test_keys(session, mine, capsys) -> None:
    assert all(session.press(key) for key in "nhslx")
    assert session.verbs == [("next",), ("hint",), ("solution",), ("list",), ("reset",)]
    assert session.press("r")
    assert "○ constant   not started" in capsys.readouterr().out
    assert session.press("c")
    assert capsys.readouterr().out.count("not started") == 2
    assert session.press("?")
    assert "q quit" in capsys.readouterr().out
    assert not session.press("q")


def test_the_loop_ends_with_q_and_prints_json_when_asked(mine, lessons, judge, right, capsys) -> None:
    mine.visit(manifest.lesson(1))
    session = Session(mine, judge, print, json=True)
    keys = iter([None, None, "q"])
    save(mine.path / "rates.py", right, 7)
    loop(session, lambda seconds: next(keys))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert '"status": "passed"' in lines[0]


def test_without_a_terminal_there_are_no_keys() -> None:
    with Keys() as keys:
        assert keys.pressed(0.0) is None
