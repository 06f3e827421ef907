"""What a user can be told: every error that is not our own fault."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from traceback import extract_tb, walk_tb

OUTSIDE = "outside_"
"""How the names of modules begin that were parts' files."""


class UserError(ValueError):
    """Something the user can put right. The message is one paragraph: what was wrong, where, what to do."""

    exit_code = 1


class DamagedError(UserError):
    """A file exists but its content is not what was written: truncated, altered or of another kind."""

    exit_code = 3


class Stopped(Exception):
    """The run was asked to stop, has saved, and can be resumed. Not an error: exit code 75."""

    exit_code = 75


def line_in(error: BaseException, file: str | Path | None) -> str:
    """The last line of `file` that the error came through, as "file.py:12"; empty if it never was there."""
    if file is None:
        return ""
    path = Path(file).resolve()
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if Path(frame.filename).resolve() == path]
    return f"{path.name}:{lines[-1]}" if lines else ""


def of_a_part(error: BaseException) -> str:
    """file.py:12 where the user's part failed, and not code of ours that it called; else empty."""
    frames = [(frame.f_globals.get("__name__", ""), line) for frame, line in walk_tb(error.__traceback__)]
    ours = [(name, line) for name, line in frames if name.startswith((OUTSIDE, "firsthand"))]
    if not ours or not ours[-1][0].startswith(OUTSIDE):
        return ""
    name, line = ours[-1]
    return f"{name.removeprefix(OUTSIDE)}.py:{line}"


def suggest(name: str, valid: Iterable[str]) -> str:
    """The end of an error about an unknown name: the nearest valid one, then all of them."""
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"{hint}Valid here: {', '.join(names)}."
