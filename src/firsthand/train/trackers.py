"""Optional trackers: TensorBoard, Weights & Biases, Trackio. Each gets every line of metrics.jsonl; none is needed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from firsthand.errors import UserError, suggest

Tracker: TypeAlias = Callable[[dict[str, Any]], None]


def tensorboard(name: str, folder: Path, config: dict[str, Any]) -> Tracker:
    """Event files in the run's folder `tensorboard/`."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder / "tensorboard"))

    def track(line: dict[str, Any]) -> None:
        for key, value in _numbers(line).items():
            writer.add_scalar(key, value, line["step"])
        writer.flush()

    return track


def wandb(name: str, folder: Path, config: dict[str, Any]) -> Tracker:
    """Weights & Biases, offline unless WANDB_MODE says otherwise."""
    import os

    import wandb as library

    run = library.init(
        project="firsthand", name=name, dir=str(folder), config=config, mode=os.environ.get("WANDB_MODE", "offline")
    )
    return lambda line: run.log(_numbers(line), step=line["step"])


def trackio(name: str, folder: Path, config: dict[str, Any]) -> Tracker:
    """Trackio: a local dashboard with the interface of Weights & Biases."""
    import trackio as library

    library.init(project="firsthand", name=name, config=config)
    return lambda line: library.log(_numbers(line), step=line["step"])


TRACKERS: dict[str, Callable[[str, Path, dict[str, Any]], Tracker]] = {
    "tensorboard": tensorboard,
    "trackio": trackio,
    "wandb": wandb,
}


def open_trackers(names: list[str], run: str, folder: Path, config: dict[str, Any]) -> list[Tracker]:
    """The trackers called `names`; UserError for an unknown one or one that is not installed."""
    opened = []
    for name in names:
        if name not in TRACKERS:
            raise UserError(f"train.trackers: there is no tracker called {name!r}. {suggest(name, TRACKERS)}")
        try:
            opened.append(TRACKERS[name](run, folder, config))
        except ImportError as error:
            raise UserError(
                f"The tracker {name} is not installed: pip install 'firsthand[track]' ({error})."
            ) from error
    return opened


def _numbers(line: dict[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in line.items() if key != "step" and isinstance(value, int | float)}
