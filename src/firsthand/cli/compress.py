"""`firsthand compress`: a model made smaller by several plans, and what each of them costs."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firsthand.cli.options import Parts, Threads
from firsthand.cli.output import Json, console, emit
from firsthand.cli.train import find_recipe
from firsthand.errors import UserError, suggest

if TYPE_CHECKING:
    from firsthand.compress.plan import Plans
    from firsthand.experiments.compression import Page, Show


Plan = Annotated[Path, typer.Option(help="A YAML file of plans, or the name of a recipe.")]
Only = Annotated[str | None, typer.Option(help="Of its plans these alone: names with commas.")]
Out = Annotated[Path, typer.Option(help="The folder that gets a model for each plan, and the report.")]
Judged = Annotated[str | None, typer.Option(help="What models are judged on. Absent: held-out plays of Shakespeare.")]
Calibration = Annotated[
    str | None, typer.Option(help="What methods look at. Absent: the first half of --text, or the other plays.")
]
Tasks = Annotated[list[Path] | None, typer.Option(help="A task's file, as for eval. May be repeated.")]
Tokens = Annotated[int, typer.Option(min=2, help="Of the text that models are judged on, at most.")]
Rounds = Annotated[int, typer.Option(min=0, help="Of timing; 0: nothing is timed.")]
Target = Annotated[str | None, typer.Option(help="Look for the best plan of at most this size: 50MB.")]
TargetLoss = Annotated[
    str | None, typer.Option(help="Look for the smallest plan that costs at most so many more bits per byte: +1%.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of methods and of intervals.")]
JudgedIn = Annotated[str, typer.Option(help="In which models are judged: fp32 or bf16.")]


def compress(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A run, a checkpoint, or a model from elsewhere.")],
    parts: Parts = None,
    plan: Plan = Path("compress"),
    only: Only = None,
    out: Out = Path("runs/compressed"),
    text: Judged = None,
    calibration: Calibration = None,
    task: Tasks = None,
    tokens: Tokens = 1 << 14,
    rounds: Rounds = 3,
    target: Target = None,
    target_loss: TargetLoss = None,
    seed: Seed = 0,
    precision: JudgedIn = "fp32",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Make MODEL smaller by every plan, each beside it in a folder of its own, and set quality against bytes and speed.

    With a target and without --only, the plans of the file are left out and others are looked for.
    """
    from firsthand.experiments.compression import Question
    from firsthand.experiments.compression import compress as run_compress
    from firsthand.experiments.compression.search import target_of
    from firsthand.generate.packed import PRECISIONS
    from firsthand.generate.threads import check_threads

    wanted = target_of(target, target_loss)
    if precision not in PRECISIONS:
        raise UserError(f"There is no precision {precision!r} to judge in. {suggest(precision, PRECISIONS)}")
    check_threads(threads)
    plans = _plans(plan, only, wanted is not None)
    typed = shlex.join(["firsthand", *sys.argv[1:]])
    judged = (text, calibration, task or [], tokens, rounds, seed, precision, threads, parts or [], typed)
    with _show() as show:
        page = run_compress(Question(model, plans, *judged), out, show, wanted)
    if json:
        emit([row.to_json() for row in page.rows])
    else:
        _print(page, out)
    if any(row.error and not row.unsuited for row in page.rows):
        raise typer.Exit(1)


def _plans(plan: Path, only: str | None, search: bool) -> "Plans":
    from firsthand.compress.plan import read_plans

    names = [name.strip() for name in (only or "").split(",") if name.strip()]
    plans = read_plans(find_recipe(str(plan))).only(names)
    return plans.model_copy(update={"plans": {}}) if search and not names else plans


@contextmanager
def _show() -> "Iterator[Show]":
    """A bar, and lines above it, on standard error."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.text import Text

    from firsthand.experiments.display import tidy

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=console(json=True), transient=True) as bar:
        row = bar.add_task("opening the model", total=1.0)

        class Bar:
            def note(self, text: str) -> None:
                bar.console.print(Text(f"· {tidy(text)}", style="dim"), soft_wrap=True)

            def done(self, share: float, what: str) -> None:
                bar.update(row, completed=share, description=tidy(what))

        yield Bar()


def _print(page: "Page", out: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    from firsthand.experiments.compression.page import LEGEND

    terminal = console()
    titles, rows = page.table()
    grid = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    shown = [number for number, title in enumerate(titles) if title not in ("95 %", "memory MB")]
    short = {titles.index(title) for title in ("rise", "prefill")}  # the report has the rest; lines are short
    for number in shown:
        grid.add_column(titles[number], justify="right" if number else "left", no_wrap=titles[number] != "front")
    for cells in rows:
        grid.add_row(*(Text(cells[number].partition(" (" if number in short else "\n")[0]) for number in shown))
    terminal.print(grid)
    terminal.print(Text(f"\n{LEGEND}", style="dim"))
    for sentence in [*page.facts, *page.said()]:
        terminal.print(Text("\n" + sentence))
    terminal.print(f"\n{out}/report.md", markup=False, soft_wrap=True)
