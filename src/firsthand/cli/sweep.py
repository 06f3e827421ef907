"""firsthand sweep: one recipe at many points of some settings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firsthand.cli.output import Json, console, emit
from firsthand.cli.train import find_recipe

if TYPE_CHECKING:
    from firsthand.experiments.sweep.page import SweepPage


def sweep(
    recipe: Annotated[str, typer.Argument(help="a YAML file, or the name of one of the project's recipes")],
    settings: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY=VALUES...",
            help="what is tried: key=a,b,c or key=1e-4..1e-2:log or key=2..8:int; key=value holds for all runs",
        ),
    ],
    search: Annotated[str, typer.Option(help="grid, random or optuna.")] = "grid",
    runs: Annotated[int | None, typer.Option(min=1, help="How many, for random and optuna; absent: 20.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The search's own; the runs have train.seed.")] = 0,
    budget: Annotated[str | None, typer.Option(help="The bound of every run: 300s, 20Mtok, 1e14flop.")] = None,
    title: Annotated[str | None, typer.Option(help="The report's heading.")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder; absent: runs/sweep-… after recipe and keys.")] = None,
    publish: Annotated[Path | None, typer.Option(help="Also write the page and its picture to this folder.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Make only the runs that are missing.")] = False,
    json: Json = False,
) -> None:
    """Train RECIPE with many values of some settings; a table from the best to the worst, and a picture."""
    from firsthand.experiments.compare import command
    from firsthand.experiments.series_display import SeriesDisplay
    from firsthand.experiments.sweep import Plan, folder_name, read_words
    from firsthand.experiments.sweep import sweep as run_sweep

    common, axes = read_words(settings)
    chosen = {"search": search, "runs": runs, "seed": seed, "budget": budget, "title": title}
    typed = command("sweep", [recipe, *settings], chosen | {"out": out, "publish": publish})
    plan = Plan(recipe, find_recipe(recipe), common, axes, search, runs, seed, budget, title, typed)
    folder = out if out is not None else Path("runs") / folder_name(plan)
    with SeriesDisplay("sweep", json) as display:
        page = run_sweep(plan, folder, resume, display, publish)
    if json:
        emit({"folder": str(folder)} | page.to_json())
    else:
        _show(page, folder)


def _show(page: "SweepPage", folder: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    terminal = console()
    titles, rows = page.rows()
    table: Any = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, heading in enumerate(titles):
        table.add_column(heading, justify="right" if number >= len(page.axes) else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    terminal.print(table)
    for sentence in page.said():
        terminal.print(Text("\n" + sentence))
    if (confirm := page.confirm()) is not None:
        terminal.print(f"\n  {confirm}", markup=False, soft_wrap=True)
    terminal.print(f"\n{folder}/report.md", markup=False, soft_wrap=True)
