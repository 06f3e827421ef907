"""Keys of a terminal that is not there."""

import stat
import sys

import pytest
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from firsthand.cli.terminal import line_reader, note

UP = "\x1b[A"


@pytest.fixture
def typed(tmp_path):
    """The lines that come of these keys, up to the end."""

    def lines(keys, history=tmp_path / "deep" / "history"):
        found = []
        with create_pipe_input() as pipe:
            pipe.send_text(keys)
            read = line_reader(history, input=pipe, output=DummyOutput())
            while True:
                try:
                    found.append(read())
                except EOFError:
                    return found

    return lines


def test_enter_ends_a_line_and_ctrl_d_all(typed):
    assert typed("Hello\rHow?\r\x04") == ["Hello", "How?"]


def test_several_lines(typed):
    assert typed("one\x1b\rtwo\\\rthree\r\x04") == ["one\ntwo\nthree"]
    assert typed("\x1b[200~pasted\ntext\x1b[201~\r\x04") == ["pasted\ntext"]


def test_ctrl_c_empties_a_line_and_leaves_an_empty_one(typed):
    assert typed("wrong\x03right\r\x03") == ["right"]


def test_a_line_can_be_edited(typed):
    assert typed("ello\x01H\x05!\r\x04") == ["Hello!"]


def test_what_was_typed_is_there_the_next_time_and_nobody_elses(typed, tmp_path):
    assert typed("first\rsecond\r\x04") == ["first", "second"]
    assert typed(f"{UP}{UP}\r\x04") == ["first"]
    assert stat.S_IMODE((tmp_path / "deep" / "history").stat().st_mode) == 0o600


def test_where_nothing_can_be_kept_a_line_says_so(typed, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert typed("Hello\r\x04", tmp_path / "file" / "history") == ["Hello"]
    assert "is not kept for the next time" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("terminal", "variables", "text"),
    [
        (True, {}, "\x1b[2mred [31m\x1b[0m\n"),
        (True, {"NO_COLOR": "1"}, "red [31m\n"),
        (True, {"TERM": "dumb"}, "red [31m\n"),
        (False, {}, "red [31m\n"),
    ],
)
def test_notes_are_dim_only_where_a_person_looks(monkeypatch, capsys, terminal, variables, text):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    note("red \x1b[31m")
    assert capsys.readouterr().err == text
