"""firsthand runs: list, show, plot and compare the runs that lie on disk."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from firsthand.cli.output import Json, console, emit
from firsthand.errors import UserError

if TYPE_CHECKING:
    from firsthand.experiments.runs import Run


class _ListFirst(TyperGroup):
    """`firsthand runs` without a command lists them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        bare = not args or (args[0].startswith("-") and args[0] != "--help")
        return super().parse_args(ctx, ["list", *args] if bare else args)


app = typer.Typer(cls=_ListFirst, help="List, show, plot and compare runs. Without a command: list.")

Root = Annotated[Path, typer.Option(help="The folder that holds the runs.")]
Name = Annotated[str, typer.Argument(metavar="RUN", help="A run's name, or the path of its folder.")]
COLUMNS = {
    "steps": ("steps", ",d"),
    "validation_loss": ("val. loss", ".4f"),
    "bits_per_byte": ("bits/byte", ".3f"),
    "tokens_per_second": ("tokens/s", ",.0f"),
}


@app.command("list")
def list_(root: Root = Path("runs"), json: Json = False) -> None:
    """One line for each run, the latest first."""
    from firsthand.experiments.runs import find

    found = find(root)
    if json:
        emit([run.summary() for run in found])
    elif found:
        console().print(_overview(found, [run.name for run in found]))
    else:
        console().print(f"There are no runs in {root} yet. `firsthand demo` makes one.", markup=False)


@app.command()
def show(run: Name, root: Root = Path("runs"), json: Json = False) -> None:
    """All about one run: settings, last figures, loss curve, files."""
    from firsthand.experiments.runs import open_run

    opened = open_run(run, root)
    if json:
        emit(opened.details())
    else:
        _show(opened)


@app.command()
def plot(run: Name, root: Root = Path("runs"), json: Json = False) -> None:
    """Draw loss, learning rate and gradient norm into the run's plots/."""
    from firsthand.experiments.plots import plot_run
    from firsthand.experiments.runs import open_run

    opened = open_run(run, root)
    if not opened.metrics.lines:
        raise UserError(f"{opened.folder} has no metrics to draw yet. Let the run take a few steps first.")
    _tell_files({"run": opened.name}, plot_run(opened.folder), json)


@app.command()
def compare(
    run: Annotated[list[str], typer.Argument(metavar="RUN RUN...", help="Names of runs, or paths of their folders.")],
    root: Root = Path("runs"),
    out: Annotated[
        Path | None, typer.Option(help="The folder for the picture; absent: compare/ beside the first run.")
    ] = None,
    json: Json = False,
) -> None:
    """Two or more runs side by side: figures, differing settings, and a picture with all curves."""
    from firsthand.experiments.plots import comparison, save
    from firsthand.experiments.runs import differences, labels, open_run

    if len(run) < 2:
        raise UserError(
            "Name at least two runs to compare: firsthand runs compare RUN RUN. `firsthand runs` lists them."
        )
    opened = [open_run(name, root) for name in run]
    names, differing = labels(opened), differences(opened)
    if not any(each.metrics.lines for each in opened):
        raise UserError(f"None of {', '.join(names)} has metrics to compare yet.")
    if not json:
        console().print(_overview(opened, names))
        console().print(_settings(differing, names))
    folder = out if out is not None else opened[0].folder.parent / "compare"
    picture = comparison({name: each.metrics for name, each in zip(names, opened, strict=True)})
    paths = save(picture, folder, "-".join(each.name for each in opened)[:100])
    report = {
        "runs": [each.summary() for each in opened],
        "differences": {key: dict(zip(names, row, strict=True)) for key, row in differing.items()},
    }
    _tell_files(report, paths, json)


def _overview(runs: "list[Run]", names: list[str]) -> Any:
    """A table with a line for each run; the best bits per byte are marked."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("run", overflow="fold")
    table.add_column("state", no_wrap=True)
    for title, _ in COLUMNS.values():
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("when", no_wrap=True)
    summaries = [run.summary() for run in runs]
    known = [summary["bits_per_byte"] for summary in summaries if summary["bits_per_byte"] is not None]
    for name, run, summary in zip(names, runs, summaries, strict=True):
        figures = [_number(summary[key], form) for key, (_, form) in COLUMNS.items()]
        best = len(known) > 1 and summary["bits_per_byte"] == min(known)
        when = run.when.strftime("%d %b %H:%M")
        table.add_row(Text(name), Text(run.state), *figures, when, style="bold green" if best else "")
    return table


def _settings(differing: dict[str, list[Any]], names: list[str]) -> Any:
    """A table of the settings that are not the same everywhere."""
    from rich.table import Table
    from rich.text import Text

    if not differing:
        return Text("\nTheir settings are the same.")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", title="\nWhat differs", title_justify="left")
    for title in ("setting", *names):
        table.add_column(Text(title), overflow="fold")
    for key, row in differing.items():
        table.add_row(Text(key, style="cyan"), *(Text("-" if value is None else str(value)) for value in row))
    return table


def _show(run: "Run") -> None:
    import yaml
    from rich.text import Text

    from firsthand.experiments.curve import ASCII, BLOCKS, curve

    terminal = console()

    def say(text: str, style: str = "") -> None:
        terminal.print(Text(text, style=style), soft_wrap=True)

    terminal.print(_overview([run], [run.name]))
    blocks = BLOCKS if "utf" in terminal.encoding.lower() else ASCII
    rows = curve(run.metrics.series("loss")[1].tolist(), min(terminal.width, 80), 8, blocks=blocks)
    if rows:
        say("\nTraining loss (nats per token) over the steps", "bold")
        say("\n".join(rows), "cyan")
    details = run.details()
    say("\nLast figures", "bold")
    say(
        "\n".join(f"  {key}: {value:,.6g}" for key, value in details["last"].items() if value is not None)
        or "  none yet"
    )
    say("\nSettings", "bold")
    say(yaml.safe_dump(run.config, sort_keys=False).rstrip() if run.config else "  not known")
    say("\nFiles", "bold")
    say("\n".join(f"  {size:>13,} bytes  {name}" for name, size in details["files"].items()))
    for problem in run.problems:
        say(f"\n{problem}", "yellow")


def _tell_files(report: dict[str, Any], paths: list[Path], json: bool) -> None:
    if json:
        emit(report | {"files": [str(path) for path in paths]})
    else:
        console().print("\n" + "\n".join(map(str, paths)), markup=False, soft_wrap=True)


def _number(value: float | int | None, form: str) -> str:
    return "-" if value is None else format(value, form)
