"""firsthand bench: every claim of speed, measured here, beside its peers and the machine's roof."""

import importlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from firsthand.cli.output import Json, console, emit
from firsthand.errors import UserError, suggest


def bench(
    names: Annotated[
        list[str] | None, typer.Argument(help="which benchmarks; default: all, which takes a while")
    ] = None,
    nanogpt: Annotated[
        Path | None, typer.Option(help="A checkout of nanoGPT to be timed beside; absent: it is left out.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1)] = None,
    out: Annotated[Path | None, typer.Option(help="Also write all figures there, as JSON.")] = None,
    json: Json = False,
) -> None:
    """Time firsthand beside its peers, in turn, and print ratios and shares of the machine's roof. Nothing fails."""
    from firsthand.cli import prepare_environment
    from firsthand.train import host

    if nanogpt is not None and not (nanogpt / "model.py").is_file():
        raise UserError(f"--nanogpt {nanogpt}: there is no model.py in it. Name the folder of a checkout of nanoGPT.")
    prepare_environment()
    if nanogpt is not None:
        os.environ["FIRSTHAND_NANOGPT"] = str(nanogpt.resolve())
    host.use_threads(threads)
    report = _report()
    for name in names or []:
        if name not in report.NAMES:
            raise UserError(f"There is no benchmark called {name!r}. {suggest(name, report.NAMES)}")
    results = report.run(names or report.NAMES, console(json))
    if out is not None:
        import json as json_module

        out.write_text(json_module.dumps(results, indent=1) + "\n", encoding="utf-8")
    if json:
        emit(results)


def _report() -> Any:
    """The folder `benchmarks` of the checkout that this package runs from: it is no part of what pip installs."""
    root = Path(__file__).parents[3]
    if not (root / "benchmarks" / "report.py").is_file():
        raise UserError(
            "The benchmarks lie in the project's repository and are not installed with the package. Clone it, and type "
            "`make bench` there."
        )
    sys.path.insert(0, str(root))
    return importlib.import_module("benchmarks.report")
