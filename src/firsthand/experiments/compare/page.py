"""The report of a comparison as a page that can be pasted: command, machine, table, sentences, pictures, settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from firsthand.experiments.compare.findings import Finding, inequalities, sentences
from firsthand.experiments.markdown import amount, fenced, p_value, table
from firsthand.experiments.runs import differing
from firsthand.experiments.statistics import Estimate
from firsthand.model.presets import resolve


@dataclass(frozen=True)
class Page:
    """What a report is made of. `notes`: sentences that hold for the whole comparison."""

    title: str
    command: str
    date: str
    machine: str
    found: Sequence[Finding]
    baseline: int
    notes: Sequence[str]

    def text(self, pictures: str) -> str:
        """The page in Markdown; `pictures` is put before the names of the pictures."""
        found = self.found
        count = max(len(finding.outcomes) for finding in found)
        seeds = f"{count} seeds" if count > 1 else "1 seed"
        parts = [
            f"# {self.title}",
            fenced(self.command, "sh"),
            f"{len(found)} variants, {seeds}, run in turns · {self.date} · {self.machine}",
            table(*result_rows(found)),
            LEGEND,
            "## What can be said",
            "\n".join(f"- {sentence}" for sentence in self.said()),
            f"![Every run, and the differences]({pictures}result.svg)",
            f"![Bits per byte over steps, tokens, seconds and FLOPs]({pictures}curves.svg)",
            "## What differs in the settings",
            settings(found),
            *self._changes(),
            "## Every run",
            runs(found),
        ]
        return "\n\n".join(parts) + "\n"

    def said(self) -> list[str]:
        return [*sentences(self.found, self.baseline), *inequalities(self.found, self.baseline), *self.notes]

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "command": self.command,
            "date": self.date,
            "machine": self.machine,
            "baseline": self.found[self.baseline].label,
            "said": self.said(),
            "variants": [finding.to_json() for finding in self.found],
            "differences": dict(differing_settings(self.found)),
        }

    def _changes(self) -> list[str]:
        lines = [f"- {each.label}: {', '.join(each.variant.changes)}" for each in self.found if each.variant.changes]
        return ["Changed to make the variants alike:", "\n".join(lines)] if lines else []


LEGEND = (
    "Bits per byte of the whole validation text (less is better): mean over seeds ± half the 95% interval (Student's "
    "t). Difference: from the baseline, paired by seed, with its 95% interval; p: of the paired t-test, after Holm's "
    "correction. Memory: the most that the process held during a run (on CUDA: the most that was allocated)."
)


def result_rows(found: Sequence[Finding]) -> tuple[list[str], list[list[str]]]:
    """The table of the variants: titles and cells."""
    titles = ["variant", "bits per byte", "difference", "p", "tokens/s", "memory", "params", "FLOPs/token"]
    rows = [
        [
            each.label,
            _with_margin(each.bits),
            _with_margin(each.difference.estimate if each.difference else None, "+"),
            p_value(each.p),
            amount(each.tokens_per_second),
            "-" if each.peak_memory is None else f"{each.peak_memory / 2**20:,.0f} MiB",
            amount(each.size.parameters),
            amount(each.size.flops_per_token),
        ]
        for each in found
    ]
    return titles, rows


def runs(found: Sequence[Finding]) -> str:
    """The table of all runs."""
    titles = ["run", "seed", "bits per byte", "steps", "tokens", "seconds", "tokens/s"]
    rows = []
    for run in (run for finding in found for run in finding.to_json()["runs"]):
        bits = "failed" if run["error"] else f"{run['bits_per_byte']:.4f}"
        figures = [amount(run[key]) for key in ("steps", "tokens", "seconds", "tokens_per_second")]
        rows.append([run["run"], str(run["seed"]), bits, *figures])
    return table(titles, rows)


def settings(found: Sequence[Finding]) -> str:
    """The table of the settings that are not the same in all variants."""
    rows = [[f"`{key}`", *("-" if value is None else str(value) for value in row)] for key, row in _rows(found)]
    if not rows:
        return "Nothing: the variants are the same, so this comparison shows how much runs differ by chance."
    return table(["setting", *(finding.label for finding in found)], rows, numbers=False)


def differing_settings(found: Sequence[Finding]) -> list[tuple[str, dict[str, Any]]]:
    return [(key, dict(zip((each.label for each in found), row, strict=True))) for key, row in _rows(found)]


def _rows(found: Sequence[Finding]) -> list[tuple[str, list[Any]]]:
    """With what the presets fill in and what is derived; the seeds differ in all of them alike."""
    trees = []
    for finding in found:
        config = finding.variant.config
        trees.append(config.model_dump(mode="json", exclude={"run"}) | {"model": resolve(config.model)})
    return [(key, row) for key, row in differing(trees).items() if key != "train.seed"]


def _with_margin(estimate: Estimate | None, sign: str = "") -> str:
    if estimate is None:
        return "-"
    margin = "" if estimate.margin is None else f" ± {estimate.margin:.4f}"
    return f"{estimate.mean:{sign}.4f}{margin}"
