"""Who takes part in a demonstration: our own small GPT, trained here first, and a model from elsewhere with LoRA."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firsthand import config as config_module
from firsthand.config import Config
from firsthand.experiments.convert import plain_name
from firsthand.experiments.folder import RunFolder
from firsthand.experiments.run import execute
from firsthand.experiments.runs import read
from firsthand.experiments.watch import Show

OWN = "own GPT"


@dataclass(frozen=True)
class Contestant:
    """`weights`: what model.weights names. `settings`: what its runs set beside those of the demonstration."""

    name: str
    weights: str
    settings: tuple[str, ...]


def pretrained(recipe: Config, show: Show) -> str:
    """The folder of our own GPT; trained by `recipe` unless it is there already, finished."""
    folder = RunFolder(recipe.run.folder)
    if not (folder.used and read(folder.path).state == "finished"):
        show.note(f"training our own GPT in {folder.path}")
        execute(recipe, resume=folder.used, show=show)
    return str(folder.path)


def tune(
    contestant: Contestant, settings: Sequence[str], seed: int, out: Path, show: Show, more: Sequence[str] = ()
) -> tuple[Config, Any]:
    """Train one contestant with one seed in out/NAME-SEED, or take it from there; its config and summary.

    `settings` hold for all, the contestant's own come after them, and `more` has the last word.
    """
    folder = out / f"{plain_name(contestant.name)}-{seed}"
    given = [
        *settings,
        *contestant.settings,
        *more,
        f"model.weights={contestant.weights}",
        f"train.seed={seed}",
        f"run.name={folder.name}",
        f"run.dir={folder}",
    ]
    config = config_module.load(None, given)
    if RunFolder(folder).used and read(folder).state == "finished":
        show.note(f"{folder} is finished already")
        return config, read(folder).status
    show.note(f"tuning {contestant.name}, seed {seed}: firsthand train with {' '.join(given)}")
    return config, execute(config, resume=RunFolder(folder).used, show=show)
