"""A run with parts of one's own beside the same run with the shipped ones: loss, last difference, and speed."""

import json
from pathlib import Path
from statistics import median
from typing import Any

from firsthand.config import Config
from firsthand.experiments import plots
from firsthand.experiments.folder import RunFolder
from firsthand.experiments.metrics import Metrics
from firsthand.experiments.run import execute
from firsthand.experiments.watch import Show

FILE = "beside.json"
NAMES = ("yours", "shipped")


def reference(config: Config, show: Show) -> Path:
    """The folder of the run that `config` describes; trained now, unless it was trained before to its end."""
    folder = RunFolder(config.run.folder)
    if _same(folder, config):
        show.note(f"the shipped parts were trained before: {folder.path}")
    else:
        show.note("now the same run with the shipped parts, to set beside it")
        execute(config, fresh=folder.path.exists(), show=show)
    return folder.path


def beside(mine: Path, shipped: Path, **more: Any) -> dict[str, Any]:
    """Draw both losses (plots/beside.png and .svg in `mine`) and say how they differ; also as beside.json there.

    `rows`: validation loss in nats a token and tokens a second of each; `difference`: of the validation losses, above 0
    if yours is worse; `speed`: how many times as long yours takes for a token.
    """
    runs = {name: Metrics.read(folder / "metrics.jsonl") for name, folder in zip(NAMES, (mine, shipped), strict=True)}
    pictures = plots.save(plots.comparison(runs, over=("step", "seconds")), mine / "plots", "beside")
    rows = {"yours": last(mine), "shipped": last(shipped)}
    losses = [rows[name]["validation_loss"] for name in NAMES]
    speeds = [rows[name]["tokens_per_second"] for name in NAMES]
    told = {
        "rows": rows,
        "difference": losses[0] - losses[1] if None not in losses else None,
        "speed": speeds[1] / speeds[0] if all(speeds) else None,
        "mine": str(mine),
        "shipped": str(shipped),
        "pictures": [str(path) for path in pictures],
        **more,
    }
    (mine / FILE).write_text(json.dumps(told, indent=1), encoding="utf-8")
    return told


def last(folder: Path) -> dict[str, Any]:
    """The last losses of a run, in nats a token, and its usual speed; None for what it has not measured."""
    metrics = Metrics.read(folder / "metrics.jsonl")
    speeds = metrics.series("tokens_per_second")[1].tolist()
    return {
        "train_loss": metrics.last("loss"),
        "validation_loss": metrics.last("validation_loss"),
        "bits_per_byte": metrics.last("bits_per_byte"),
        "tokens_per_second": median(speeds) if speeds else None,
    }


def _same(folder: RunFolder, config: Config) -> bool:
    """Whether the folder holds this very run, finished."""
    status = folder.path / "status.json"
    stored = folder.config()
    if stored is None or not status.is_file() or not folder.used:
        return False
    finished = json.loads(status.read_text(encoding="utf-8")).get("state") == "finished"
    ours, theirs = (tree.model_dump(mode="json") for tree in (config, stored))
    return bool(finished and all(_within(ours[key], theirs[key]) for key in ours if key != "run"))


def _within(asked: Any, done: Any) -> bool:
    """Whether `done` has all that was `asked`; what was left open may have been decided since."""
    if isinstance(asked, dict) and isinstance(done, dict):
        return all(key in done and _within(value, done[key]) for key, value in asked.items())
    if isinstance(asked, str) and isinstance(done, dict):
        return bool(done.get("part") == asked)
    return asked is None or asked == done
