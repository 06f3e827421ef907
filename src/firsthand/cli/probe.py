"""firsthand probe: what can a mixer hold in mind?"""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from firsthand.cli.output import Json, console, emit

if TYPE_CHECKING:
    from firsthand.experiments.probe import Plan, Result


def probe(
    task: Annotated[str, typer.Argument(help="recall, copying, or my_task.py:MyTask")],
    mixers: Annotated[
        list[str] | None, typer.Argument(help="names, or specs such as '{part: mamba2, d_state: 16}'; default: all")
    ] = None,
    sizes: Annotated[str, typer.Option(help="how many pairs or symbols: 4..64 (doubling), or a list")] = "4..64",
    steps: Annotated[int, typer.Option(min=1)] = 500,
    batch_tokens: Annotated[int, typer.Option(min=1)] = 4096,
    optimizer: Annotated[str, typer.Option()] = "{part: muon, lr: 0.02, adamw_lr: 3.0e-3}",
    seeds: Annotated[int, typer.Option(min=1)] = 1,
    d_model: Annotated[int, typer.Option(min=1)] = 64,
    threads: Annotated[int | None, typer.Option(min=1)] = None,
    out: Annotated[Path, typer.Option(help="Where the page, the figures and the picture go.")] = Path("runs/probe"),
    json: Json = False,
) -> None:
    """Train small models on a made-up task of memory, and show how much each mixer can hold."""
    import yaml

    from firsthand.cli.growth import doubling
    from firsthand.experiments.probe import MODEL, Plan
    from firsthand.experiments.probe_page import write_page
    from firsthand.model.mixers import MIXERS
    from firsthand.train import host

    host.use_threads(threads)
    specs = {word: yaml.safe_load(word) for word in mixers or MIXERS}
    model, range_ = MODEL | {"d_model": d_model}, tuple(doubling(sizes))
    plan = Plan(task, range_, steps, batch_tokens, yaml.safe_load(optimizer), seeds, model=model)
    terminal = console(json)
    results = _measure(specs, plan, terminal)
    files = write_page(out, results, plan, shlex.join(["firsthand", *sys.argv[1:]]))
    if json:
        emit({"results": [vars(result) for result in results], "files": [str(path) for path in files]})
    else:
        terminal.print(files[0].read_text(encoding="utf-8"), markup=False)
        terminal.print("\n".join(f"wrote {path}" for path in files), markup=False)


def _measure(specs: dict[str, Any], plan: "Plan", terminal: Console) -> "list[Result]":
    """The probe, with a bar over all steps of all models."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from firsthand.experiments.probe import probe

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=terminal) as bar:
        whole = bar.add_task(plan.task, total=plan.steps * plan.seeds * len(specs))

        def show(label: str, seed: int, step: int, loss: float) -> None:
            bar.update(whole, advance=1, description=f"{label}, seed {seed}: loss {loss:.3f}")

        return probe(specs, plan, show)
