"""firsthand train: run a recipe."""

from pathlib import Path
from typing import Annotated

import typer

from firsthand.cli.output import Json, emit


def train(
    recipe: Annotated[str, typer.Argument(help="a YAML file, or the name of one of the project's recipes")],
    settings: Annotated[
        list[str] | None, typer.Argument(help="overrides: train.steps=500 model.n_layers=4 ...")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in this folder, if there is one.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Move an earlier run aside and start anew.")] = False,
    json: Json = False,
) -> None:
    """Train what RECIPE describes; everything about the run lies in its folder afterwards."""
    from firsthand import config
    from firsthand.errors import UserError

    if resume and fresh:
        raise UserError("--resume goes on with an earlier run and --fresh starts anew: give one of them.")
    tree = config.load(find_recipe(recipe), settings)

    from firsthand.experiments.display import Display
    from firsthand.experiments.run import execute

    with Display(title=tree.run.name, json=json) as display:
        summary = execute(tree, resume, fresh, display)
    if json:
        emit(summary)


def find_recipe(name: str) -> Path:
    """The file `name`, or the recipe of that name that comes with the project."""
    path = Path(name)
    if path.is_file() or "/" in name or path.suffix:
        return path
    beside = Path(__file__).parents[1] / "recipes"
    checkout = Path(__file__).parents[3] / "recipes"
    for folder in (beside, checkout):
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    return path
