"""The folder of a run: config.yaml, metrics.jsonl, samples.md, plots/, checkpoints/ and data/, all plain files."""

import json
import os
import platform
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from firsthand import config as config_module
from firsthand.checkpoint import tidy
from firsthand.config import Config
from firsthand.errors import UserError


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps its files."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def plots(self) -> Path:
        return self.path / "plots"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def used(self) -> bool:
        """Does it hold a run that has saved something?"""
        return bool(tidy.found(self.checkpoints))

    def begin(self, resume: bool) -> None:
        """Make the folder; UserError if it holds a run already and `resume` does not say that this is meant."""
        if self.used and not resume:
            raise UserError(
                f"{self.path} already holds a run. Add --resume to go on with it, --fresh to move it aside and start "
                "anew, or choose another folder with run.dir=PATH."
            )
        self.path.mkdir(parents=True, exist_ok=True)
        if not resume:
            for leftover in (self.metrics, self.path / "samples.md"):
                leftover.unlink(missing_ok=True)

    def move_aside(self) -> Path | None:
        """Keep what is here under another name, so that a new run can start; returns that name."""
        if not self.path.exists():
            return None
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.old-{number}")).exists():
            number += 1
        self.path.rename(aside)
        return aside

    def config(self) -> Config | None:
        """The settings of the run that is here; None if there is none."""
        path = self.path / "config.yaml"
        return config_module.load(path) if path.is_file() else None

    def save_config(self, config: Config) -> None:
        config_module.save(config, self.path / "config.yaml")

    def check_same(self, config: Config) -> None:
        """UserError if `config` is another experiment than the one in this folder; its bounds may differ."""
        path = self.path / "config.yaml"
        before, now = config_module.load(path).model_dump(mode="json"), config.model_dump(mode="json")
        for part in ("data", "tokenizer", "model", "adapt", "compress"):
            if before[part] != now[part]:
                raise UserError(
                    f"{self.path} was started with another {part!r} (see {path}); a resumed run must stay the "
                    "same experiment. Use the same recipe, or start anew with --fresh."
                )
        for key in ("seed", "optimizer", "objective", "microbatches"):
            if before["train"][key] != now["train"][key]:
                raise UserError(
                    f"{self.path} was started with train.{key}={before['train'][key]}, not {now['train'][key]}; resume "
                    "with the same value, or start anew with --fresh."
                )

    def log(self, line: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl; each is written whole, so a killed run leaves at most half of the last."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def add_sample(self, step: int, text: str) -> None:
        with (self.path / "samples.md").open("a", encoding="utf-8") as file:
            fenced = text.replace("```", "'''")
            file.write(f"## Step {step}\n\n```text\n{fenced}\n```\n\n")

    def set_status(self, state: str, **more: Any) -> None:
        """status.json: running, finished, stopped (resume it) or failed."""
        status = {"state": state, "pid": os.getpid(), "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **more}
        temporary = self.path / "status.json.tmp"
        temporary.write_text(json.dumps(status, indent=1), encoding="utf-8")
        temporary.replace(self.path / "status.json")

    def choices(self) -> dict[str, Any]:
        """How the run in this folder computes, as environment.json says; nothing if it does not say."""
        path = self.path / "environment.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        found: dict[str, Any] = known.get("choices", {})
        return found

    def save_environment(self, **more: Any) -> None:
        """environment.json: what the figures of this run depend on besides its config."""
        environment = {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "platform": platform.platform(),
            "cpu": torch.backends.cpu.get_cpu_capability(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "revision": _revision(),
            **more,
        }
        (self.path / "environment.json").write_text(json.dumps(environment, indent=1), encoding="utf-8")


def _revision() -> str | None:
    """The git revision of the project's source, if it is a checkout."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
