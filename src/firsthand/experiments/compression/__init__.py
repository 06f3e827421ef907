"""Plans that make a model smaller are carried out, judged and timed beside the model as it was: one honest table."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from firsthand.compress import plan
from firsthand.errors import UserError
from firsthand.evaluate.log import write_results
from firsthand.experiments.compression import making, pictures
from firsthand.experiments.compression.bench import Bench, Question, Show, Silent, set_up
from firsthand.experiments.compression.page import Page
from firsthand.experiments.compression.row import Row, with_fronts
from firsthand.experiments.compression.search import NAMES, Target, find_plans

__all__ = ["Page", "Question", "Show", "Target", "compress"]


def compress(question: Question, out: Path, show: Show | None = None, target: Target | None = None) -> Page:
    """Carry out the plans, each into `out`/NAME, and write the report beside them; the model itself is not touched.

    What was made before from the same is taken as it is. With a `target`, plans beyond the given ones are looked for
    (search.py). UserError for whatever can be told before the work begins, and if no plan at all succeeds; a single
    plan that a method refuses has its reason in the table.
    """
    plans = question.plans.plans
    for name, steps in plans.items():
        plan.methods(name, steps)
    making.check_places(question.model, out, [*plans, *(NAMES if target else ())])
    bench = set_up(question, out, show or Silent())
    rows = bench.originals()
    for name, steps in plans.items():
        rows.append(bench.plan(name, steps))
    best = None
    if target is not None:
        rows += find_plans(bench, target, rows)
        best = target.best(rows)
    errors = [row for row in rows if row.error]
    if errors and len(errors) == len(rows) - 2:
        raise UserError(f"{errors[0].plan}: {errors[0].error}")
    return conclude(bench, bench.timed(rows), out, target, best)


def conclude(bench: Bench, rows: Sequence[Row], out: Path, target: Target | None, best: Row | None) -> Page:
    """The page, written to `out` with its figures and pictures. UserError, after that, for a target nothing reached."""
    page = Page(
        f"{Path(bench.question.model).name}, compressed",
        bench.question.command,
        bench.facts,
        with_fronts(rows),
        best.plan if best else None,
    )
    if target is not None:
        page = replace(page, facts=[*page.facts, target.said(best)])
    out.mkdir(parents=True, exist_ok=True)
    write_results(out, page.to_json())
    (out / "report.md").write_text(page.text("plots/"), encoding="utf-8")
    pictures.draw(page, out / "plots")
    if target is not None and best is None:
        raise UserError(f"{target.said(None)} {out / 'report.md'} has what was tried.")
    return page
