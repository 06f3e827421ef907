"""firsthand train: run a recipe."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firsthand.cli.output import Json, console, emit

if TYPE_CHECKING:
    from firsthand.learn.mine import Mine

Use = Annotated[str | None, typer.Option(help="mine: your parts from the lessons, where they have passed.")]


def train(
    recipe: Annotated[str, typer.Argument(help="a YAML file, or the name of one of the project's recipes")],
    settings: Annotated[
        list[str] | None, typer.Argument(help="overrides: train.steps=500 model.n_layers=4 ...")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in this folder, if there is one.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Move an earlier run aside and start anew.")] = False,
    use: Use = None,
    mine: Annotated[bool, typer.Option("--mine", help="The same as --use mine.")] = False,
    beside: Annotated[
        bool, typer.Option("--beside/--alone", help="With your parts: train the shipped ones too, and compare.")
    ] = True,
    json: Json = False,
) -> None:
    """Train what RECIPE describes; everything about the run lies in its folder afterwards."""
    from firsthand.errors import UserError

    if resume and fresh:
        raise UserError("--resume goes on with an earlier run and --fresh starts anew: give one of them.")
    if use not in (None, "mine"):
        raise UserError(f"--use {use} is not known. --use mine takes your parts from the lessons.")
    given = settings or []
    if mine or use:
        from firsthand.learn import mine as mine_module
        from firsthand.learn.workspace import find

        parts = mine_module.collect(find())
        summary = train_mine(recipe, given, parts, resume, fresh, beside, json)
    else:
        summary = _plain(recipe, given, resume, fresh, json)
    if json:
        emit(summary)


def train_mine(
    recipe: str,
    settings: list[str],
    parts: "Mine",
    resume: bool,
    fresh: bool,
    beside: bool,
    json: bool,
    base: Sequence[str] = (),
) -> dict[str, Any]:
    """Train with these parts, say whose parts they are, and set the run beside that with the shipped ones.

    What the user sets wins over the parts, and these over `base`. The summary has `mine` and, unless alone, `beside`.
    """
    from firsthand import config

    path = find_recipe(recipe)
    shipped = config.load(path, [*base, *settings])
    parts = parts.fitting(shipped)
    tree = config.load(path, [*base, *parts.overrides, *settings])
    out = console(json)
    out.print(f"{parts.banner}.", markup=False, soft_wrap=True)
    for slot, why in parts.elsewhere.items():
        out.print(f"Your {slot} has passed but cannot enter a run: {why}.", markup=False, soft_wrap=True)
    if parts.shipped:
        out.print(f"Shipped: {', '.join(parts.shipped)}.", markup=False, soft_wrap=True)
    summary = _execute(tree, resume, fresh, json) | {"mine": parts.as_json()}
    if beside and parts.parts and _no_twin(tree, parts):
        out.print("Nothing stands beside it: the run it goes on from was trained alone.", markup=False, soft_wrap=True)
    elif beside and parts.parts:
        summary["beside"] = _beside(tree, shipped, parts, json)
    return summary


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


def _plain(recipe: str, settings: list[str], resume: bool, fresh: bool, json: bool) -> dict[str, Any]:
    from firsthand import config

    return _execute(config.load(find_recipe(recipe), settings), resume, fresh, json)


def _execute(tree: Any, resume: bool, fresh: bool, json: bool) -> dict[str, Any]:
    from firsthand.experiments.display import Display
    from firsthand.experiments.run import execute

    with Display(title=tree.run.name, json=json) as display:
        return execute(tree, resume, fresh, display)


def twin(run: Path) -> Path:
    """Where the same run with the shipped parts lies."""
    return run.with_name(f"{run.name}-shipped")


def _no_twin(tree: Any, parts: "Mine") -> bool:
    """Whether it goes on from a model with parts of the learner's that has no twin without."""
    begun = tree.model.weights
    return bool(begun) and not twin(Path(begun)).is_dir() and any(one.startswith("model.") for one in parts.overrides)


def _beside(tree: Any, shipped: Any, parts: "Mine", json: bool) -> dict[str, Any]:
    from firsthand.config import replaced
    from firsthand.experiments.beside import beside, reference
    from firsthand.experiments.display import Display

    mine, begun = tree.run.folder, tree.model.weights
    shipped = replaced(shipped, {"run.dir": str(twin(mine))})
    if begun and twin(Path(begun)).is_dir():  # it goes on from where its own twin ended
        shipped = replaced(shipped, {"model.weights": str(twin(Path(begun)))})
    with Display(title=f"{tree.run.name}, shipped", json=json) as display:
        folder = reference(shipped, display)
    told = beside(mine, folder, banner=parts.banner)
    if not json:
        _show(told)
    return told


def _show(told: dict[str, Any]) -> None:
    from firsthand.cli.learn.common import grid, say

    rows = [
        (name, f"{row['validation_loss']:.4f}", f"{row['bits_per_byte']:.3f}", f"{row['tokens_per_second']:,.0f}")
        for name, row in told["rows"].items()
        if row["validation_loss"] is not None and row["bits_per_byte"] and row["tokens_per_second"]
    ]
    if rows:
        grid(rows, ("", "val. loss", "bits/byte", "tokens/s"), right=(1, 2, 3))
    if told["difference"] is not None and told["speed"]:
        say(
            f"Yours ends {told['difference']:+.4f} nats from the shipped parts and takes {told['speed']:.2f} times as "
            f"long for a token. {told['pictures'][0]}"
        )
