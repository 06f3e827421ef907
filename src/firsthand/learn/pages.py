"""A lesson's page: the cells of lesson.py, which is a plain script in the percent format."""

import ast
import contextlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from firsthand.errors import UserError

MARK = re.compile(r"^# %%(?P<rest>.*)$")
TAGS = re.compile(r"tags=(\[[^\]]*\])")


@dataclass(frozen=True)
class Cell:
    """`text`: Markdown without its comment signs, or code. `tags`: such as exercise:ID, slow, gpu, break:NAME.
    `output`: what the code printed, if it was run."""

    markdown: bool
    text: str
    tags: tuple[str, ...] = ()
    output: str = ""

    def tagged(self, kind: str) -> str | None:
        """NAME of the tag kind:NAME; empty for the bare tag `kind`; None if the cell has neither."""
        for tag in self.tags:
            first, _, rest = tag.partition(":")
            if first == kind:
                return rest
        return None


def cells(script: Path) -> list[Cell]:
    """The cells of a percent script, in order. What stands before the first mark is its own business.

    UserError that names the line of a mark that cannot be read.
    """
    found: list[Cell] = []
    kind: str | None = None
    lines: list[str] = []
    for number, line in enumerate(script.read_text(encoding="utf-8").splitlines(), 1):
        mark = MARK.match(line)
        if mark is None:
            lines.append(line)
            continue
        if kind is not None:
            found.append(_cell(kind, lines))
        kind, lines = mark["rest"], []
        if "tags=" in kind and not _tags(kind):
            raise UserError(f'{script}:{number}: these tags cannot be read. Write tags=["exercise:NAME"].')
    if kind is not None:
        found.append(_cell(kind, lines))
    return [cell for cell in found if cell.text]


def printed(page: Sequence[Cell], folder: Path) -> list[Cell]:
    """The cells with what their code prints, run in `folder`, where the reader's own parts are.

    Cells tagged slow or gpu are not run. UserError naming the cell that fails.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    return [cell if cell.markdown or _left_out(cell) else _run(cell, names, folder) for cell in page]


def _left_out(cell: Cell) -> bool:
    return cell.tagged("slow") is not None or cell.tagged("gpu") is not None


def _run(cell: Cell, names: dict[str, Any], folder: Path) -> Cell:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.chdir(folder):
        try:
            exec(compile(cell.text, "<lesson>", "exec"), names)
        except Exception as error:
            first = cell.text.splitlines()[0]
            raise UserError(f"The cell that begins with {first!r} failed: {type(error).__name__}: {error}.") from error
    return replace(cell, output=said.getvalue().rstrip("\n"))


def _cell(rest: str, lines: Sequence[str]) -> Cell:
    text = "\n".join(lines).strip("\n")
    if "[markdown]" not in rest:
        return Cell(False, text, _tags(rest))
    plain = [line.removeprefix("# ") if line != "#" else "" for line in text.splitlines()]
    return Cell(True, "\n".join(plain).strip("\n"), _tags(rest))


def _tags(rest: str) -> tuple[str, ...]:
    found = TAGS.search(rest)
    try:
        value = ast.literal_eval(found[1]) if found else []
    except (SyntaxError, ValueError):
        value = []
    return tuple(str(tag) for tag in value)
