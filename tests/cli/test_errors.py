"""What a failing command says, and the exit code that scripts rely on."""

import errno
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from firsthand import parts
from firsthand.cli import errors, output
from firsthand.errors import DamagedError, Stopped, UserError, line_in, suggest


def _raise(error: BaseException) -> Callable[[], Any]:
    def command() -> Any:
        raise error

    return command


FAILURES = [
    (UserError("The text is too short."), 1, "The text is too short."),
    (DamagedError("The file is cut off."), 3, "The file is cut off."),
    (typer.BadParameter("No such option: --x"), 2, "No such option: --x"),
    (Stopped("Saved at step 7."), 75, "Saved at step 7."),
    (KeyboardInterrupt(), 130, "Interrupted."),
    (typer.Abort(), 130, "Interrupted."),
    (OSError(errno.ENOSPC, "No space left on device", "runs/x"), 74, "No space left on device (runs/x)"),
    (PermissionError(errno.EACCES, "Permission denied", "runs"), 74, "Permission denied (runs)"),
    (MemoryError(), 1, "data.batch_tokens"),
    (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"), 1, "data.batch_tokens"),
    (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 1, "data.batch_tokens"),
    (AssertionError("length is positive"), 70, "AssertionError: length is positive"),
    (KeyError("mixer"), 70, "bug of firsthand"),
]


@pytest.mark.parametrize(("error", "code", "message"), FAILURES, ids=lambda value: type(value).__name__)
def test_each_failure_has_its_code_and_its_words(
    error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert errors.run(_raise(error), json=False, debug=False) == code
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(("error", "code", "message"), FAILURES, ids=lambda value: type(value).__name__)
def test_with_json_standard_output_holds_one_value(
    error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert errors.run(_raise(error), json=True, debug=False) == code
    value = json.loads(capsys.readouterr().out)
    assert value["exit_code"] == code
    assert message in value["error"]


PART = """
def wrong(values):
    return values[7]


def asks(helper):
    return helper(-1)
"""


@pytest.fixture
def part(tmp_path: Path) -> Iterator[Callable[[str], Callable[..., Any]]]:
    """A part of the user's, from a file."""
    (tmp_path / "mine.py").write_text(PART)
    yield lambda name: parts.find("model.norm", {}, f"{tmp_path}/mine.py:{name}")
    sys.modules.pop("outside_mine", None)


def test_what_fails_in_a_part_of_the_users_is_no_bug_of_ours(
    part: Callable[[str], Callable[..., Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = part("wrong")
    assert errors.run(lambda: wrong([1]), json=False, debug=False) == 1
    said = "A part of yours failed at mine.py:3: IndexError: list index out of range."
    assert capsys.readouterr().err.startswith(said)


def test_a_bug_of_ours_beneath_a_part_is_ours_and_the_part_is_named(
    part: Callable[[str], Callable[..., Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    asks = part("asks")
    assert errors.run(lambda: asks(lambda _: line_in(KeyError(), "\0")), json=False, debug=False) == 70
    assert "bug of firsthand: " in (said := capsys.readouterr().err)
    assert "mine.py" in said
    assert "took part" in said


def test_debug_shows_where(capsys: pytest.CaptureFixture[str]) -> None:
    assert errors.run(_raise(UserError("no")), json=False, debug=True) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (3, 3), ("text", 0)])
def test_a_command_that_returns_is_done(result: Any, code: int) -> None:
    assert errors.run(lambda: result, json=False, debug=False) == code


def test_help_ends_with_its_own_code() -> None:
    assert errors.run(_raise(typer.Exit(0)), json=False, debug=False) == 0


def test_emit_writes_json_that_any_reader_takes(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit({"loss": float("nan"), "rates": (1.5, float("inf")), "path": Path("runs/x"), "text": "é", 3: True})
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    expected = {"loss": None, "rates": [1.5, None], "path": "runs/x", "text": "é", "3": True}
    assert json.loads(line, parse_constant=pytest.fail) == expected


def test_the_console_leaves_standard_output_to_json(capsys: pytest.CaptureFixture[str]) -> None:
    output.console(json=True).print("progress")
    output.console().print("a table")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("a table\n", "progress\n")


def test_suggestions_name_the_nearest_and_then_all() -> None:
    assert suggest("atention", ["mamba", "attention"]) == "Did you mean 'attention'? Valid here: attention, mamba."
    assert suggest("zzz", ["mamba", "attention"]) == "Valid here: attention, mamba."
