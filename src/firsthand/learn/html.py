"""A lesson as one HTML file: no scripts, nothing fetched, readable on paper."""

import html
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from firsthand.learn.formula import as_mathml
from firsthand.learn.manifest import Lesson
from firsthand.learn.pages import Cell

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

STYLE = """
body { max-width: 44rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.55 Georgia, serif; color: #222; }
pre { background: #f4f4f4; padding: .8rem; overflow-x: auto; font: .85rem/1.4 monospace; white-space: pre-wrap; }
code { font-family: monospace; background: #f4f4f4; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left; }
.printed { background: none; border-left: .2rem solid #999; }
.exercise { border-left: .3rem solid #0072B2; padding-left: 1rem; }
@media print { body { margin: 0; max-width: none; } pre { border: 1px solid #ddd; background: none; } }
"""


def page(lesson: Lesson, found: Sequence[Cell]) -> str:
    """The whole page. Text of a lesson cannot add markup of its own: HTML in it is shown, not obeyed."""
    body = "\n".join(map(_cell, found))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{html.escape(lesson.title)}</title>\n'
        f"<style>{STYLE}</style>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _cell(cell: Cell) -> str:
    if not cell.markdown:
        printed = f'\n<pre class="printed">{html.escape(cell.output)}</pre>' if cell.output else ""
        return f"<pre>{html.escape(cell.text)}</pre>{printed}"
    shown: str = _parser().render(cell.text)
    return f'<div class="exercise">{shown}</div>' if cell.tagged("exercise") is not None else shown


@cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    def mathml(latex: str, options: dict[str, bool]) -> str:
        return as_mathml(latex, "block" if options["display_mode"] else "inline")

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    return parser.use(dollarmath_plugin, renderer=mathml)
