"""A verdict for people: three lines, and target, yours and difference as a picture in characters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from firsthand.learn.grader.checks import Checks
from firsthand.learn.grader.leaves import Leaves, equal
from firsthand.learn.grader.printed import shown
from firsthand.learn.grader.properties.words import at, names_of
from firsthand.learn.verdict import Verdict

MARKS = {"passed": "✓", "failed": "✗", "not started": "○", "error": "!"}
SHADES = " ░▒▓█"
LARGEST = 16
"""Rows and columns of a picture; what is beyond is not drawn."""


@dataclass(frozen=True)
class Picture:
    """Two matrices of the same axes: numbers (None: not finite). `where`: which slice of the output it is."""

    target: list[list[float | None]]
    yours: list[list[float | None]]
    rows: str
    columns: str
    where: str

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))

    def text(self) -> str:
        """The three side by side."""
        difference = [
            [None if a is None or b is None else a - b for a, b in zip(one, other, strict=True)]
            for one, other in zip(self.yours, self.target, strict=True)
        ]
        largest = max((abs(x) for row in (*self.target, *self.yours) for x in row if x is not None), default=1.0)
        spread = max((abs(x) for row in difference for x in row if x is not None), default=1.0)
        blocks = [_block(self.target, largest), _block(self.yours, largest), _block(difference, spread)]
        width = max(len("difference"), len(self.target[0]) * 2) + 2
        lines = ["".join(title.ljust(width) for title in ("target", "yours", "difference")).rstrip()]
        lines += ["".join(part.ljust(width) for part in row).rstrip() for row in zip(*blocks, strict=True)]
        where = f"{self.where}; " if self.where else ""
        return "\n".join([*lines, f"({where}down: {self.rows}, across: {self.columns}; ? is inf or nan)"])


def _block(matrix: list[list[float | None]], largest: float) -> list[str]:
    return ["".join(_shade(x, largest) * 2 for x in row) for row in matrix]


def _shade(x: float | None, largest: float) -> str:
    if x is None:
        return "?"
    step = abs(x) / (largest or 1.0) * (len(SHADES) - 1)
    return SHADES[max(1, round(step))] if step > 1e-6 else SHADES[0]


def picture(checks: Checks, mine: Mapping[str, Leaves], right: Mapping[str, Leaves]) -> Picture | None:
    """The lesson's picture, or else the first case that is wrong; None if nothing of two axes is."""
    wanted = [checks.picture] if checks.picture else []
    for case in (*wanted, *right):
        for path, target in right.get(case, {}).items():
            yours = mine.get(case, {}).get(path)
            if not isinstance(target, Tensor) or not isinstance(yours, Tensor):
                continue
            if target.dim() >= 2 and target.shape == yours.shape and not equal(yours, target):
                return _slice(yours.double(), target.double(), names_of(checks.axes.get(path, ""), target.dim()))
    return None


def _slice(yours: Tensor, target: Tensor, names: list[str]) -> Picture:
    """The slice of the last two axes in which most is wrong."""
    wrong = (yours - target).abs().nan_to_num(nan=torch.inf).amax((-1, -2))
    flat = int(wrong.flatten().argmax())
    index: list[int] = []
    for length in reversed(wrong.shape):
        index.insert(0, flat % length)
        flat //= length
    place = tuple(index)
    return Picture(
        _numbers(target[place]), _numbers(yours[place]), names[-2], names[-1], at(index, names[:-2]) if index else ""
    )


def _numbers(matrix: Tensor) -> list[list[float | None]]:
    rows = matrix[:LARGEST, :LARGEST].tolist()
    return [[x if abs(x) < float("inf") else None for x in row] for row in rows]


def lines(verdict: Verdict) -> str:
    """What a terminal shows."""
    head = f"{MARKS[verdict.status]} {verdict.exercise}"
    if verdict.mutant and verdict.status == "failed":
        head += f"   {verdict.mutant}: {verdict.evidence.get('say', '')}"
    elif verdict.status == "failed":
        head += f"   {verdict.property or verdict.stage}"
    elif verdict.status != "passed":
        head += f"   {verdict.status}"
    labels = (("What happened:", verdict.what), ("Why:", verdict.why), ("Next step:", verdict.next))
    body = [f"  {label:<15}{text}" for label, text in labels if text and verdict.status != "passed"]
    heard = shown(verdict.evidence.get("heard", "")) if verdict.status == "failed" else []
    body += [f"  {'' if i else 'It printed:':<15}{line}" for i, line in enumerate(heard)]
    notes = [f"  {'Note:':<15}{note}" for note in verdict.notes]
    drawn = [f"    {line}" for line in verdict.picture.splitlines()]
    return "\n".join([head, *body, *notes, *drawn])
