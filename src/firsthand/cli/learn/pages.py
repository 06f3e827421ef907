"""firsthand learn read and notebook: the lesson's page, on the terminal, in a file, or as a notebook."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firsthand.cli.learn.common import Where, opened, say
from firsthand.cli.output import Json, console, emit

if TYPE_CHECKING:
    from firsthand.learn.pages import Cell

Number = Annotated[int | None, typer.Argument(metavar="LESSON", help="Its number; absent: the one you are at.")]


def read(
    number: Number = None,
    html: Annotated[Path | None, typer.Option(help="Write a page without scripts to this file instead.")] = None,
    code: Annotated[bool, typer.Option("--code/--no-code", help="Show the code cells too.")] = True,
    run: Annotated[bool, typer.Option("--run", help="Run the code, with your parts, and show what it prints.")] = False,
    where: Where = None,
    json: Json = False,
) -> None:
    """The page of a lesson."""
    from firsthand.learn import manifest
    from firsthand.learn.pages import cells, printed

    lesson = manifest.lesson(number if number is not None else opened(where).here().lesson)
    every = cells(lesson.script)
    every = printed(every, opened(where).path) if run else every
    found = [cell for cell in every if cell.markdown or code or cell.output]
    if html:
        from firsthand.learn.html import page
        from firsthand.learn.workspace import write_whole

        write_whole(html, page(lesson, found))
    if json:
        emit({"lesson": lesson.number, "title": lesson.title, "html": html, "cells": [vars(cell) for cell in found]})
    elif html:
        say(f"Written to {html}.")
    else:
        _print(found)


def notebook(number: Number = None, where: Where = None, json: Json = False) -> None:
    """Put the lesson's notebook into your folder; one that you have worked in is kept."""
    from firsthand.learn import manifest
    from firsthand.learn.notebook import name_of, write

    workspace = opened(where)
    lesson = manifest.lesson(number if number is not None else workspace.here().lesson)
    path = workspace.path / "notebooks" / name_of(lesson)
    new = not path.exists()
    if new:
        write(lesson, path.parent)
    if json:
        emit({"notebook": str(path), "new": new})
        return
    say(
        f"{path} {'is ready' if new else 'was there already and is as you left it'}. Open it with Jupyter or an editor:"
    )
    say(f"  jupyter lab {path}")


def _print(found: "list[Cell]") -> None:
    """Prose as rich lays it out, formulas in a line of characters, code as it is. Piped, it is Markdown."""
    from firsthand.learn.formula import readable

    out = console()
    if not out.is_terminal:
        for cell in found:
            say(readable(cell.text) + "\n" if cell.markdown else f"```python\n{cell.text}\n```\n")
            if cell.output:
                say(f"```text\n{cell.output}\n```\n")
        return
    from rich.markdown import Markdown
    from rich.syntax import Syntax

    for cell in found:
        out.print(
            Markdown(readable(cell.text)) if cell.markdown else Syntax(cell.text, "python", background_color="default")
        )
        say("", *([cell.output, ""] if cell.output else []))
