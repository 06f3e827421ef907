"""A lesson's page: the cells of lesson.py, which is a plain script in the percent format."""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from firsthand.errors import UserError

MARK = re.compile(r"^# %%(?P<rest>.*)$")
TAGS = re.compile(r"tags=(\[[^\]]*\])")


@dataclass(frozen=True)
class Cell:
    """`text`: Markdown without its comment signs, or code. `tags`: such as exercise:ID, slow, gpu, break:NAME."""

    markdown: bool
    text: str
    tags: tuple[str, ...] = ()

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
