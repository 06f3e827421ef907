"""firsthand probe: what can a mixer hold in mind?"""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from firsthand.cli.output import Json, console, emit


def probe(
    task: Annotated[str, typer.Argument(help="recall, copying, or my_task.py:MyTask")],
    mixers: Annotated[
        list[str] | None, typer.Argument(help="names, or specs such as '{part: mamba2, d_state: 16}'; default: all")
    ] = None,
    sizes: Annotated[str, typer.Option(help="how many pairs or symbols: 4..64 (doubling), or a list")] = "4..64",
    steps: Annotated[int, typer.Option(min=1)] = 1000,
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
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from firsthand.cli.growth import doubling
    from firsthand.experiments.probe import MODEL, Plan
    from firsthand.experiments.probe import probe as measure
    from firsthand.experiments.probe_page import write_page
    from firsthand.model.mixers import MIXERS
    from firsthand.train import host

    host.use_threads(threads)
    specs = {word: yaml.safe_load(word) for word in mixers or MIXERS}
    plan = Plan(
        task,
        tuple(doubling(sizes)),
        steps,
        batch_tokens,
        yaml.safe_load(optimizer),
        seeds,
        model=MODEL | {"d_model": d_model},
    )
    terminal = console(json)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=terminal) as bar:
        whole = bar.add_task(task, total=steps * seeds * len(specs))

        def show(label: str, seed: int, step: int, loss: float) -> None:
            bar.update(whole, advance=1, description=f"{label}, seed {seed}: loss {loss:.3f}")

        results = measure(specs, plan, show)
    files = write_page(out, results, plan, shlex.join(["firsthand", *sys.argv[1:]]))
    if json:
        emit({"results": [vars(result) for result in results], "files": [str(path) for path in files]})
    else:
        terminal.print(files[0].read_text(encoding="utf-8"), markup=False)
        terminal.print("\n".join(f"wrote {path}" for path in files), markup=False)
