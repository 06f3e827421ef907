"""What a lesson's page needs: live source, the reader's own parts, numbers as shades, bars and letters in a plane."""

import ast
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from firsthand.errors import UserError, suggest
from firsthand.learn.manifest import PACKAGE, exercise
from firsthand.learn.workspace import NAME

SHADES = " ░▒▓█"
BARS = " ▁▂▃▄▅▆▇█"


def is_long() -> bool:
    """Whether the reader asked for the long runs (`firsthand learn run --long`)."""
    return bool(os.environ.get("FIRSTHAND_LEARN_LONG"))


def source(what: str) -> str:
    """The shipped source of "ops/attention/reference.py:attention", or of a whole file without the name. UserError if
    there is no such thing."""
    file, _, name = what.partition(":")
    path = PACKAGE / file
    if not path.is_file():
        raise UserError(f"There is no file {file} in the package, whose source this page wants to show.")
    text = path.read_text(encoding="utf-8")
    if not name:
        return text
    known = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    if name not in known:
        raise UserError(f"{file} defines no {name}. {suggest(name, known)}")
    return ast.get_source_segment(text, known[name]) or ""


def show(what: str) -> None:
    """Print it, under its name."""
    print(f"src/firsthand/{what}\n\n{source(what)}")


def mine(name: str, folder: Path | None = None) -> Any:
    """The parts of an exercise: the reader's own, from the file in `folder` (here, or my_llm/ here), or the shipped
    ones where that file has holes, is missing or cannot be imported. Says which."""
    from firsthand.contracts.finding import Broken
    from firsthand.learn.grader.entry import NotStarted, learners, shipped

    one = exercise(name)
    places = [folder] if folder else [Path.cwd(), Path.cwd() / NAME]
    file = next((place / one.file for place in places if (place / one.file).is_file()), places[0] / one.file)
    parts: SimpleNamespace
    try:
        parts, whose = learners(one, file), f"yours, from {one.file}"
    except NotStarted:
        parts, whose = shipped(one), "the shipped one"
    except Broken as error:
        parts, whose = shipped(one), f"the shipped one, because of {one.file}: {error.what}"
    print(f"[{', '.join(one.entry)}: {whose}]")
    return parts


def shades(matrix: Any, rows: Sequence[str] = (), columns: Sequence[str] = ()) -> str:
    """A matrix of numbers from 0 up as a picture in characters, darker for larger; its largest number is full.

    `rows` and `columns`: what they are called; a column shows the first two characters.
    """
    numbers = [[float(x) for x in row] for row in matrix]
    largest = max((x for row in numbers for x in row), default=1.0) or 1.0
    width = max((len(name) for name in rows), default=0)
    lines = [" " * (width + 1) + "".join(name[:2].ljust(2) for name in columns)] if columns else []
    for i, row in enumerate(numbers):
        cells = "".join(SHADES[max(0, min(4, round(4 * x / largest)))] * 2 for x in row)
        lines.append(f"{rows[i] if rows else '':>{width}} {cells}".rstrip())
    return "\n".join(lines)


def histogram(numbers: Iterable[float], reach: float, width: int = 63) -> str:
    """How many lie in each of `width` equal pieces from -reach to reach, as bars; the fullest piece is full."""
    counts = [0] * width
    for number in numbers:
        counts[min(width - 1, max(0, int((number / reach + 1) / 2 * width)))] += 1
    return "".join(BARS[math.ceil(8 * count / (max(counts) or 1))] for count in counts)


def plane(points: Sequence[tuple[float, float]], width: int = 64, height: int = 13) -> str:
    """Letters a, b, ... at (log x, log y), smaller to the left and below; numbers above 0. Those than which nothing is
    smaller in both are capitals."""
    xs, ys = ([math.log(point[i]) for point in points] for i in (0, 1))
    wide, high = (max(ends) - min(ends) or 1.0 for ends in (xs, ys))
    rows = [[" "] * width for _ in range(height)]
    for number, (x, y) in enumerate(zip(xs, ys, strict=True)):
        beaten = any(a <= x and b <= y and (a, b) != (x, y) for a, b in zip(xs, ys, strict=True))
        letter = chr(97 + number)
        row = round((height - 1) * (max(ys) - y) / high)
        rows[row][round((width - 1) * (x - min(xs)) / wide)] = letter if beaten else letter.upper()
    marks = [f"{math.exp(max(ys)):.3g}", *[""] * (height - 2), f"{math.exp(min(ys)):.3g}"]
    ends = f"{math.exp(min(xs)):.3g}", f"{math.exp(max(xs)):.3g}"
    axis = f"{'':8} {ends[0]}{ends[1]:>{width - len(ends[0])}}"
    return "\n".join([*(f"{mark:>7} │{''.join(row)}".rstrip() for mark, row in zip(marks, rows, strict=True)), axis])
