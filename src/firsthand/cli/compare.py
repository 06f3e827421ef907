"""firsthand compare: which of several variants is better, and whether that can be known."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firsthand.cli.output import Json, console, emit
from firsthand.cli.train import find_recipe

if TYPE_CHECKING:
    from firsthand.experiments.compare.page import Page


def compare(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE... [KEY=VALUE...]",
            help='recipes, each alone or quoted with its own settings ("tiny model.position=alibi"); settings for all',
        ),
    ],
    vary: Annotated[list[str] | None, typer.Option(help="A setting and its values: model.position=rope,alibi")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each variant.")] = 3,
    budget: Annotated[str | None, typer.Option(help="The bound of every run: 300s, 20Mtok, 1e14flop.")] = None,
    match: Annotated[str | None, typer.Option(help="Make the models alike in params or flops (per token).")] = None,
    baseline: Annotated[str | None, typer.Option(help="The variant to test against; absent: the first.")] = None,
    names: Annotated[str | None, typer.Option(help="What to call the variants: short,names,like,these")] = None,
    title: Annotated[str | None, typer.Option(help="The report's heading.")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder; absent: runs/compare-… after the variants.")] = None,
    publish: Annotated[Path | None, typer.Option(help="Also write the page and its pictures to this folder.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Make only the runs that are missing.")] = False,
    json: Json = False,
) -> None:
    """Train every variant with several seeds, in turns, and report what differs, with intervals and p-values."""
    from firsthand.experiments.compare import Question, command
    from firsthand.experiments.compare import compare as run_compare
    from firsthand.experiments.compare.variants import folder_name, read_variants
    from firsthand.experiments.series_display import SeriesDisplay

    variants = read_variants(words, vary or [], names, budget, find_recipe)
    folder = out if out is not None else Path("runs") / folder_name(variants)
    options = {"vary": vary, "seeds": seeds, "budget": budget, "match": match, "baseline": baseline, "names": names}
    typed = command("compare", words, options | {"title": title, "out": out, "publish": publish})
    question = Question(variants, seeds, match, baseline, title, typed)
    with SeriesDisplay("compare", json) as display:
        page = run_compare(question, folder, resume, display, publish)
    if json:
        emit({"folder": str(folder)} | page.to_json())
    else:
        _show(page, folder)


def _show(page: "Page", folder: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    from firsthand.experiments.compare.page import LEGEND, result_rows

    terminal = console()
    titles, rows = result_rows(page.found)
    table: Any = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for number, heading in enumerate(titles):
        table.add_column(heading, justify="right" if number else "left")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    terminal.print(table)
    terminal.print(Text(f"\n{LEGEND}", style="dim"))
    for sentence in page.said():
        terminal.print(Text("\n" + sentence.replace("**", "").replace("`", "")))
    terminal.print(f"\n{folder}/report.md", markup=False, soft_wrap=True)
