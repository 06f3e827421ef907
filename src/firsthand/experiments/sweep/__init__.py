"""Sweeps: one recipe at many points of some settings, resumable, with a table from the best to the worst."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from firsthand import assemble
from firsthand import config as config_module
from firsthand.config import Config
from firsthand.errors import UserError, suggest
from firsthand.experiments.amount import budget_settings
from firsthand.experiments.publication import PLOTS, write_report
from firsthand.experiments.series import Outcome, Series, SeriesShow, Trial
from firsthand.experiments.sweep.axes import Axis, parse_axis
from firsthand.experiments.sweep.page import Result, SweepPage
from firsthand.experiments.sweep.pictures import draw
from firsthand.experiments.sweep.search import SEARCHES, Listed, Point
from firsthand.experiments.words import describe, distinct, slug


@dataclass(frozen=True)
class Plan:
    """What is tried. `settings`: for all runs. `search`: a key of SEARCHES; `seed`: its own, the runs have theirs."""

    recipe: str
    path: Path
    settings: Sequence[str]
    axes: Sequence[Axis]
    search: str = "grid"
    runs: int | None = None
    seed: int = 0
    budget: str | None = None
    title: str | None = None
    command: str = ""

    def config(self, point: Point) -> Config:
        """The settings of one run. UserError if they are none."""
        overrides = [*self.settings, *(f"{key}={value}" for key, value in point.items())]
        return config_module.load(self.path, [*overrides, *budget_settings(self.budget)])


def read_words(words: Sequence[str]) -> tuple[list[str], list[Axis]]:
    """Settings for all runs, and axes. UserError if nothing is to be varied, or one key twice."""
    parsed = [(word, parse_axis(word)) for word in words]
    axes = [axis for _, axis in parsed if axis is not None]
    if not axes:
        raise UserError(
            "Nothing is varied. Give a setting several values or a range: firsthand sweep recipes/tiny.yaml "
            "model.position=rope,alibi train.optimizer.lr=1e-4..1e-2:log"
        )
    keys = [axis.key for axis in axes]
    if len(set(keys)) < len(keys):
        raise UserError(f"{max(keys, key=keys.count)} is varied twice. Write all of its values in one list.")
    return [word for word, axis in parsed if axis is None], axes


def folder_name(plan: Plan) -> str:
    return slug("-".join(["sweep", Path(plan.recipe).stem, *(axis.key.rpartition(".")[2] for axis in plan.axes)]), 72)


def sweep(plan: Plan, folder: Path, resume: bool, show: SeriesShow, publish: Path | None = None) -> SweepPage:
    """Make all runs, or those that are missing, and the report: report.md, report.json and plots/ in `folder`.

    What is known before the first run (every point but optuna's) is checked before it. `publish` gets a copy of the
    page and its picture. Raises Stopped if a signal asked for it, after saving; UserError for what the user can put
    right.
    """
    if plan.search not in SEARCHES:
        raise UserError(f"--search: there is no search {plan.search!r}. {suggest(plan.search, SEARCHES)}")
    search = SEARCHES[plan.search](plan.axes, plan.runs, plan.seed)
    for point in search.points if isinstance(search, Listed) else []:
        assemble.check(plan.config(point))
    series = Series(folder, "sweep", resume, show)
    results: list[Result] = []
    slugs: list[str] = []
    for number in range(1, search.runs + 1):
        point = search.ask()
        label = " ".join(describe(f"{key}={value}") for key, value in point.items())
        slugs.append(slug(label, 80))
        outcome = series.run(
            Trial(distinct(slugs, "{}-{}")[-1], label, series.pinned(plan.config(point))), number, search.runs
        )
        search.tell(outcome.bits_per_byte)
        results.append(_result(point, outcome))
    title = plan.title or f"Sweep: {Path(plan.recipe).stem} over {', '.join(axis.key for axis in plan.axes)}"
    facts = f"{plan.search} search, {series.notes['started']}, {series.machine(outcome)}"
    page = SweepPage(title, plan.command, facts, plan.recipe, plan.settings, plan.axes, plan.budget, results)
    pictures = draw(page.axes, page.results, folder / PLOTS)
    write_report(folder, page.text, page.to_json(), pictures, publish)
    return page


def _result(point: Point, outcome: Outcome) -> Result:
    summary = outcome.summary
    speed = outcome.run.summary()["tokens_per_second"]
    return Result(
        point,
        outcome.bits_per_byte,
        outcome.trial.name,
        outcome.error,
        {key: summary.get(key) for key in ("parameters", "steps", "tokens", "seconds", "peak_memory")}
        | {"tokens_per_second": speed},
    )
