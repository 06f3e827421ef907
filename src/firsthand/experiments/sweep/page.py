"""The report of a sweep: the runs from the best to the worst, and what that does not mean."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from firsthand.experiments.markdown import amount, fenced, table
from firsthand.experiments.sweep.axes import Axis
from firsthand.experiments.sweep.search import Point


@dataclass(frozen=True)
class Result:
    """A run at a point. `bits`: per byte of the whole validation text, None if it failed: then `error` says why."""

    point: Point
    bits: float | None
    run: str
    error: str | None
    figures: dict[str, Any]


@dataclass(frozen=True)
class SweepPage:
    """What a report is made of. `facts`: the search, date and machine in a line."""

    title: str
    command: str
    facts: str
    recipe: str
    settings: Sequence[str]
    axes: Sequence[Axis]
    budget: str | None
    results: Sequence[Result]

    @property
    def ranked(self) -> list[Result]:
        """The best first; failed runs last."""
        return sorted(self.results, key=lambda result: math.inf if result.bits is None else result.bits)

    def rows(self) -> tuple[list[str], list[list[str]]]:
        """The table of the runs: titles and cells."""
        titles = [*(axis.key for axis in self.axes), "bits per byte", "tokens/s", "params", "seconds"]
        rows = []
        for result in self.ranked:
            bits = "failed" if result.bits is None else f"{result.bits:.4f}"
            figures = [amount(result.figures[key]) for key in ("tokens_per_second", "parameters", "seconds")]
            rows.append([*result.point.values(), bits, *figures])
        return titles, rows

    def said(self) -> list[str]:
        """What to make of the table."""
        ended = [result for result in self.ranked if result.bits is not None]
        failed = [result for result in self.results if result.error is not None]
        said = [f"{len(failed)} of {len(self.results)} runs failed. {failed[0].error}"] if failed else []
        if not ended:
            return said
        for axis in self.axes:
            if axis.numeric and _at_the_edge(axis, ended):
                said.append(f"The best {axis.key} lies at the end of what was tried: a wider range may hold better.")
        if len(ended) > 1:
            said.append(
                "The first of a table of single runs is partly lucky: its figure is too good, and its order is not "
                "known to hold for another seed. To know, compare the best with others:"
            )
        return said

    def confirm(self) -> str | None:
        """The command that compares the two best with several seeds; None if fewer than two ended."""
        best = [result for result in self.ranked if result.bits is not None][:2]
        if len(best) < 2:
            return None
        words = [" ".join([self.recipe, *(f"{key}={value}" for key, value in each.point.items())]) for each in best]
        budget = ["--budget", self.budget] if self.budget else []
        return shlex.join(["firsthand", "compare", *words, *self.settings, "--seeds", "5", *budget])

    def text(self, pictures: str) -> str:
        """The page in Markdown; `pictures` is put before the name of the picture."""
        confirm = self.confirm()
        parts = [
            f"# {self.title}",
            fenced(self.command, "sh"),
            f"{len(self.results)} runs, {self.facts}",
            table(*self.rows()),
            f"![Bits per byte over what was varied]({pictures}sweep.svg)",
            *self.said(),
            *([fenced(confirm, "sh")] if confirm else []),
        ]
        return "\n\n".join(parts) + "\n"

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "command": self.command,
            "facts": self.facts,
            "said": self.said(),
            "confirm": self.confirm(),
            "runs": [
                {"run": each.run, "settings": each.point, "bits_per_byte": each.bits, "error": each.error}
                | each.figures
                for each in self.ranked
            ],
        }


def _at_the_edge(axis: Axis, ended: Sequence[Result]) -> bool:
    """Has the best run the smallest or largest of at least three values?"""
    values = sorted({float(result.point[axis.key]) for result in ended})
    return len(values) > 2 and float(ended[0].point[axis.key]) in (values[0], values[-1])
