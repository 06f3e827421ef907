"""What the verbs of `firsthand learn` share: the workspace they work in, and how they speak."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firsthand.cli.output import console

if TYPE_CHECKING:
    from firsthand.learn.manifest import Exercise
    from firsthand.learn.workspace import Workspace

Name = Annotated[str | None, typer.Argument(metavar="EXERCISE", help="Its name; absent: the one you are at.")]
Where = Annotated[Path | None, typer.Option("--workspace", help="Your folder, if not my_llm/ here or above.")]
MARKS = {"passed": ("passed", "green"), "failed": ("failed", "red"), "error": ("error", "magenta")}
NOT_STARTED = ("not started", "dim")


def opened(where: Path | None) -> "Workspace":
    """The workspace of this command; what had to be repaired in it is told on standard error."""
    from firsthand.learn.workspace import find

    found = find(where)
    found.state()
    for note in found.notes:
        sys.stderr.write(f"{note}\n")
    return found


def chosen(workspace: "Workspace", name: str | None) -> "Exercise":
    """The exercise of that name, or the one that the learner is at."""
    from firsthand.learn.manifest import exercise

    return exercise(name) if name else workspace.here()


def say(*lines: str, json: bool = False) -> None:
    """Plain lines on the terminal."""
    for line in lines:
        console(json).print(line, markup=False, soft_wrap=True)


def grid(rows: list[tuple[Any, ...]], heading: tuple[str, ...] = (), right: tuple[int, ...] = ()) -> None:
    """A table without lines. `right`: columns of numbers."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=bool(heading), header_style="bold")
    for number in range(len(rows[0])):
        table.add_column(heading[number] if heading else "", justify="right" if number in right else "left")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    console().print(table)
