"""The report: a table of plans, what to make of it in sentences, and every plan's steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from firsthand.experiments.compression.row import BF16, ORIGINAL, Row
from firsthand.experiments.markdown import fenced, table

LEGEND = (
    "rise: of bits per byte, beside the original on the same passages, with its 95 % interval. Speeds: tokens/s, "
    "medians over rounds in which plan and originals took turns; beside them how many times as fast as the original in "
    "bf16. memory: the most bytes the whole process had while it read and wrote. front: no other row is better in bits "
    "per byte and also smaller (size) or faster at writing (speed)."
)
FRONTS = {"bytes": "size", "decode": "speed"}


@dataclass(frozen=True)
class Page:
    """What a report is made of. `facts`: texts, machine and protocol, a sentence each. `tried`: of a search."""

    title: str
    command: str
    facts: list[str]
    rows: list[Row]
    best: str | None = None

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Titles and cells."""
        tasks = list(dict.fromkeys(name for row in self.rows for name in row.tasks))
        titles = ["plan", "bits/byte", "95 %", "rise", "MB", "memory MB", "prefill", "decode", "front", *tasks]
        return titles, [_cells(row, tasks) for row in self.rows]

    def said(self) -> list[str]:
        """What to make of the table, above all where it is not what one would hope for."""
        said = [row.why_not for row in self.rows if row.error]
        said += [sentence for row in self.rows for sentence in _not_faster(row)]
        said += [
            f"{row.plan}: nothing is lost that could be seen: its rise has zero in its interval."
            for row in self.rows
            if row.rise
            and row.rise.low is not None
            and row.rise.high is not None
            and row.rise.low <= 0 <= row.rise.high
        ]
        if self.best:
            said.append(f"The best of those that reach the target: {self.best}.")
        return said

    def text(self, pictures: str) -> str:
        """The page in Markdown; `pictures` is put before the names of the pictures."""
        parts = [f"# {self.title}", fenced(self.command, "sh"), "\n".join(f"- {fact}" for fact in self.facts)]
        parts += [table(*self.table()), LEGEND, *self.said()]
        parts += [f"![{what}]({pictures}{name}.svg)" for name, what in self.pictures().items()]
        parts.append("## The plans")
        for row in self.rows:
            if row.steps:
                steps = yaml.safe_dump({row.plan: row.steps}, sort_keys=False, default_flow_style=None, width=110)
                notes = "\n".join(f"- {note}" for note in row.notes)
                parts += [fenced(steps.strip(), "yaml"), *([notes] if notes else [])]
        return "\n\n".join(parts) + "\n"

    def pictures(self) -> dict[str, str]:
        """Those that there is something to draw in, and what they show."""
        found = {"size": "Bits per byte over the bytes of the weights"}
        if any(row.rates for row in self.rows):
            found["speed"] = "Bits per byte over the tokens that are written in a second"
        if any(row.layers for row in self.rows):
            found["layers"] = "How far each layer's outputs are off"
            found["maps"] = "How far the outputs of each linear map are off"
            found["numbers"] = "Weights and activations before and after"
        return found

    def to_json(self) -> dict[str, Any]:
        layers = {row.plan: row.layers.to_json() for row in self.rows if row.layers}
        named = {"title": self.title, "command": self.command, "facts": self.facts, "said": self.said()}
        return {**named, "best": self.best, "plans": [row.to_json() for row in self.rows], "layers": layers}


def _cells(row: Row, tasks: Sequence[str]) -> list[str]:
    if row.error or row.bits is None:
        return [row.plan, "unsuited" if row.unsuited else "failed", *[""] * (7 + len(tasks))]
    between = "" if row.bits.low is None else f"{row.bits.low:.4f} to {row.bits.high:.4f}"
    rise = ""
    if row.rise:
        off = "" if row.rise.low is None else f" ({row.rise.low:+.2%} to {row.rise.high:+.2%})"
        rise = f"{row.rise.value:+.2%}{off}"
    memory = f"{row.rates.memory / 1e6:,.0f}" if row.rates and row.rates.memory else "-"
    speeds = [_speed(row, kind) for kind in ("prefill", "decode")]
    front = ", ".join(FRONTS[name] for name in row.fronts)
    scores = [_score(row.tasks.get(name, {})) for name in tasks]
    return [
        row.plan,
        f"{row.bits.value:.4f}",
        between,
        rise,
        f"{row.bytes / 1e6:,.1f}",
        memory,
        *speeds,
        front,
        *scores,
    ]


def _speed(row: Row, kind: str) -> str:
    if row.rates is None:
        return "-"
    beside = row.beside(BF16, kind)
    return f"{getattr(row.rates, kind):,.0f}" + (f" ({beside:.2f}×)" if beside else "")


def _score(figures: Any) -> str:
    """The first metric of a task, which is the one that its kind is named for."""
    return next((f"{figure.value:.1%}" for figure in figures.values()), "-")


def _not_faster(row: Row) -> list[str]:
    """Where smaller is not faster."""
    found = []
    for kind, doing in (("prefill", "reads a prompt"), ("decode", "writes")):
        slower = {
            what: ratio
            for other, what in ((ORIGINAL, "fp32"), (BF16, "bf16"))
            if (ratio := row.beside(other, kind)) is not None and ratio < 1
        }
        if slower and row.plan not in (ORIGINAL, BF16):
            times = " and ".join(
                f"{ratio:.2f} times as fast as the original in {what}" for what, ratio in slower.items()
            )
            found.append(f"{row.plan} is smaller but not faster: it {doing} {times}.")
    return found
