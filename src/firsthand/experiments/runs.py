"""Looking at the folders of runs: which there are, how far they came, and how they differ.

Nothing here needs torch, and a run may be damaged, half written or still going on: what can be read is shown, and
`problems` says what could not.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from firsthand.errors import UserError, suggest
from firsthand.experiments.metrics import Metrics

MARKS = ("config.yaml", "metrics.jsonl", "status.json")
"""A folder that has one of these is a run's."""


@dataclass(frozen=True)
class Run:
    """What the folder of a run says. `state`: running, finished, stopped, failed, killed, or unknown."""

    folder: Path
    state: str
    when: datetime
    config: dict[str, Any]
    status: dict[str, Any]
    metrics: Metrics
    problems: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.folder.name

    def summary(self) -> dict[str, Any]:
        """The line of `firsthand runs list`. Losses are in nats per token; what was never measured is None."""
        steps = self.metrics.last("step")
        speeds = self.metrics.series("tokens_per_second")[1].tolist()
        return {
            "name": self.name,
            "state": self.state,
            "steps": None if steps is None else int(steps),
            "validation_loss": self.metrics.last("validation_loss"),
            "bits_per_byte": self.metrics.last("bits_per_byte"),
            "tokens_per_second": round(median(speeds), 1) if speeds else None,
            "when": self.when.isoformat(timespec="seconds"),
            "folder": str(self.folder),
        }

    def files(self) -> dict[str, int]:
        """What lies in the folder, by name: bytes, of folders together with all that is in them."""
        return {
            entry.name + ("/" if entry.is_dir() else ""): sum(path.stat().st_size for path in _files_in(entry))
            for entry in sorted(self.folder.iterdir())
        }

    def details(self) -> dict[str, Any]:
        """Everything that `firsthand runs show` tells."""
        keys = {key: None for line in self.metrics.lines for key in line}
        return self.summary() | {
            "config": self.config,
            "last": {key: self.metrics.last(key) for key in keys},
            "files": self.files(),
            "problems": self.problems,
        }


def find(root: Path) -> list[Run]:
    """All runs in the folder `root`, the latest first. No folder: no runs."""
    folders = [path for path in root.iterdir() if _is_run(path)] if root.is_dir() else []
    return sorted((read(folder) for folder in folders), key=lambda run: (-run.when.timestamp(), run.name))


def open_run(name: str, root: Path) -> Run:
    """The run in the folder `name`, or called so in `root`. UserError that says which there are."""
    for folder in (Path(name), root / name):
        if _is_run(folder):
            return read(folder)
    if Path(name).is_dir():
        raise UserError(f"{name} is not the folder of a run: it has neither of {', '.join(MARKS)}.")
    names = [run.name for run in find(root)]
    there = suggest(name, names) if names else f"{root} holds no runs yet; `firsthand demo` makes one."
    raise UserError(f"There is no run {name!r}: neither a folder {name} nor one in {root}. {there}")


def read(folder: Path) -> Run:
    """What can be read of the run in `folder`."""
    problems: list[str] = []
    status = _tree(folder / "status.json", json.loads, problems)
    config = _tree(folder / "config.yaml", yaml.safe_load, problems)
    metrics = Metrics.read(folder / "metrics.jsonl")
    if metrics.damaged:
        problems.append(f"metrics.jsonl: damaged lines left out: {metrics.damaged}")
    return Run(folder, _state(status), _when(folder), config, status, metrics, problems)


def differences(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """The settings in which the runs differ, as dotted keys, each with its value in every run (None: not set)."""
    return differing([run.config for run in runs])


def differing(configs: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """The dotted keys, but those of `run`, that do not have one value in all trees; with every tree's value."""
    flat = [_flatten(config) for config in configs]
    keys = {key: None for settings in flat for key in settings if not key.startswith("run.")}
    values = {key: [settings.get(key) for settings in flat] for key in keys}
    return {key: row for key, row in values.items() if any(value != row[0] for value in row)}


def labels(runs: Sequence[Run]) -> list[str]:
    """The names of the runs; their folders where two have one name."""
    names = [run.name for run in runs]
    return [run.name if names.count(run.name) == 1 else str(run.folder) for run in runs]


def _is_run(folder: Path) -> bool:
    return any((folder / mark).is_file() for mark in MARKS)


def _files_in(path: Path) -> list[Path]:
    return [path] if path.is_file() else [inner for inner in path.rglob("*") if inner.is_file()]


def _tree(path: Path, load: Any, problems: list[str]) -> dict[str, Any]:
    """The mapping in a JSON or YAML file; empty, with a line in `problems`, if there is none."""
    try:
        tree = load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        problems.append(f"{path.name} is missing")
        return {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        problems.append(f"{path.name} cannot be read: {' '.join(str(error).split())}")
        return {}
    if isinstance(tree, dict):
        return tree
    problems.append(f"{path.name} holds no settings")
    return {}


def _state(status: dict[str, Any]) -> str:
    """What status.json says, except that a run whose process is gone cannot be running."""
    state, process = str(status.get("state", "unknown")), status.get("pid")
    if state != "running" or not isinstance(process, int) or os.name != "posix":
        return state
    try:
        os.kill(process, 0)  # signal 0 only asks
    except ProcessLookupError:
        return "killed"
    except (OSError, OverflowError):
        pass
    return state


def _when(folder: Path) -> datetime:
    """When the run was last heard of."""
    times = [(folder / mark).stat().st_mtime for mark in MARKS if (folder / mark).is_file()]
    return datetime.fromtimestamp(max(times)).astimezone()


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
