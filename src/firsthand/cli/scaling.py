"""firsthand scaling: a law through small models, and a bet on the next one."""

from pathlib import Path
from typing import Annotated

import typer

from firsthand.cli.output import Json, console, emit
from firsthand.cli.train import find_recipe
from firsthand.errors import UserError


def scaling(
    recipe: Annotated[str, typer.Argument(help="a YAML file, or the name of one of the project's recipes")],
    settings: Annotated[list[str] | None, typer.Argument(help="overrides for all runs: data.source=my.txt ...")] = None,
    sizes: Annotated[
        str, typer.Option(help="What decides the size, from small to large; the last is predicted, then trained.")
    ] = "model.d_model=32,64,96,128",
    tokens: Annotated[str, typer.Option(help="How long the others are trained.")] = "300ktok,1Mtok,3Mtok",
    out: Annotated[Path, typer.Option(help="The folder of all runs and of the report.")] = Path("runs/scaling"),
    publish: Annotated[Path | None, typer.Option(help="Also write the page and its picture to this folder.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Make only the runs that are missing.")] = False,
    json: Json = False,
) -> None:
    """Train a small family, fit the loss against size and data, predict the next size, train it, report the error."""
    from firsthand.experiments.amount import parse_amount
    from firsthand.experiments.compare import command
    from firsthand.experiments.scaling import Study, study
    from firsthand.experiments.scaling.page import sentences, to_json, write_page
    from firsthand.experiments.series_display import SeriesDisplay
    from firsthand.experiments.words import split_outside

    key, sign, values = sizes.partition("=")
    if not sign:
        raise UserError(f"--sizes {sizes!r}: write a setting and its values, such as model.d_model=32,64,96,128.")
    amounts = [parse_amount(word) for word in split_outside(tokens, ",")]
    if any(bound != "tokens" for bound, _ in amounts):
        raise UserError(f"--tokens {tokens!r}: the law is about tokens, so write amounts such as 300ktok,1Mtok.")
    words = [recipe, *(settings or [])]
    typed = command("scaling", words, {"sizes": sizes, "tokens": tokens, "out": out, "publish": publish})
    horizons = [amount for _, amount in amounts]
    question = Study(find_recipe(recipe), settings or [], key, split_outside(values, ","), horizons, typed)
    with SeriesDisplay("scaling", json) as display:
        answer = study(question, out, resume, display)
    files = write_page(out, answer, question, publish)
    if json:
        emit(to_json(answer, question) | {"files": [str(path) for path in files]})
        return
    terminal = console()
    for sentence in sentences(answer, question):
        terminal.print(sentence + "\n", markup=False)
    terminal.print(str(files[0]), markup=False, soft_wrap=True)
