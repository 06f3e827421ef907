"""Several runs in one folder, one after another, each with the same data; what is finished stays when it goes on."""

import hashlib
import json
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from firsthand import assemble
from firsthand import config as config_module
from firsthand.config import Config
from firsthand.errors import Stopped, UserError
from firsthand.experiments import corpus as corpus_module
from firsthand.experiments.corpus import Corpus
from firsthand.experiments.folder import RunFolder
from firsthand.experiments.machine import machine, processor
from firsthand.experiments.memory import PeakMemory
from firsthand.experiments.origin import begin
from firsthand.experiments.run import execute
from firsthand.experiments.runs import Run, differing, read
from firsthand.experiments.watch import Show
from firsthand.train import host, precision

DATA = ("kind", "source", "field", "validation", "clean", "filters", "deduplicate", "row_tokens", "skip_bad")
"""The settings under data. that decide the documents; the tokenizer's decide the rest of a run's data folder."""


@dataclass(frozen=True)
class Trial:
    """One run to be made: `name` is its folder in the series, `label` what people read."""

    name: str
    label: str
    config: Config


@dataclass(frozen=True)
class Outcome:
    """What became of a trial. `error` says why it failed; else `run` is finished and its status holds the summary."""

    trial: Trial
    run: Run
    error: str | None = None

    @property
    def summary(self) -> dict[str, Any]:
        """What `execute` returned, with "peak_memory" in bytes (None if it could not be measured)."""
        return self.run.status if self.error is None else {}

    @property
    def bits_per_byte(self) -> float | None:
        """Of the whole validation text."""
        return self.summary.get("bits_per_byte")


@runtime_checkable
class SeriesShow(Show, Protocol):
    """Whoever shows a series of runs to people."""

    def begin(self, trial: Trial, number: int, total: int) -> None: ...
    def done(self, outcome: Outcome) -> None: ...


class Series:
    """The folder of a series. `name`: its verb, which the next start must repeat.

    What "auto" means (the precision) is measured once and noted in series.json, so that all runs share it, whenever
    they are made. UserError if the folder holds a series already and `resume` does not say that this is meant.
    """

    def __init__(self, folder: Path, name: str, resume: bool, show: SeriesShow) -> None:
        self.folder, self._show = folder, show
        self._notes = folder / "series.json"
        self.notes: dict[str, Any] = {"series": name, "started": time.strftime("%Y-%m-%d"), "processor": processor()}
        self._threads = torch.get_num_threads()
        if self._notes.is_file():
            self.notes = json.loads(self._notes.read_text(encoding="utf-8"))
            if not resume or self.notes["series"] != name:
                what = f"holds a {self.notes['series']} already"
                raise UserError(f"{folder} {what}. Add --resume to go on with it, or choose another folder: --out DIR.")
        self._write()

    def pinned(self, config: Config) -> Config:
        """`config` with all that it leaves to the dial, and the series' own precision in the place of "auto"."""
        config, _ = assemble.settle(begin(config)[0])
        if config.train.precision != "auto":
            return config
        device = host.pick_device(config.train.device)
        if "precision" not in self.notes:
            self.notes["precision"] = precision.choose("auto", device)
            self._write()
        return changed(config, {"train.precision": self.notes["precision"]})

    def corpus(self, config: Config) -> Corpus:
        """The data of a run, made once for all runs that share its settings. UserError where no text is predicted."""
        if config.data.kind == "labels":
            raise UserError("Runs are compared by bits per byte, and data.kind=labels predicts no text. Leave it out.")
        folder = self._data(config)
        if config.model.weights and not (folder / "summary.json").is_file():
            origin = begin(config)[1]
            corpus_module.make(config, folder, self._show.note, origin.found if origin else None)
        corpus_module.make(config, folder, self._show.note)
        found = corpus_module.open_corpus(folder)
        assert isinstance(found, Corpus), "classes are refused above"
        return found

    def run(self, trial: Trial, number: int, total: int) -> Outcome:
        """Make the run, or go on with it, or find it finished. Stopped, after saving, if a signal asked for it.

        A run that fails for a reason of its settings (it diverges, say) is an outcome too: the others go on.
        """
        folder = RunFolder(self.folder / trial.name)
        if self._finished(trial, folder):
            outcome = Outcome(trial, read(folder.path))
            self._show.done(outcome)
            return outcome
        self._show.begin(trial, number, total)
        self._share_data(trial.config, folder)
        torch.set_num_threads(self._threads)
        if "torch._dynamo" in sys.modules:
            torch.compiler.reset()  # torch.compile gives up after eight models in one process
        here = changed(trial.config, {"run.name": trial.name, "run.dir": str(folder.path)})
        memory = PeakMemory(host.pick_device(trial.config.train.device))
        try:
            with memory:
                summary = execute(here, resume=folder.used, show=self._show)
        except Stopped as stopped:
            raise Stopped(
                f"Stopped and saved within run {number} of {total}, {trial.label!r}, in {self.folder}. The same "
                "command with --resume goes on from there."
            ) from stopped
        except UserError as error:
            folder.set_status("failed", error=str(error))
            outcome = Outcome(trial, read(folder.path), str(error))
        else:
            folder.set_status("finished", **summary, peak_memory=memory.bytes)
            outcome = Outcome(trial, read(folder.path))
        self._show.done(outcome)
        return outcome

    def machine(self, outcome: Outcome) -> str:
        """What the figures depend on besides the settings, in a line."""
        return machine(outcome.run.folder, self.notes["processor"])

    def _finished(self, trial: Trial, folder: RunFolder) -> bool:
        """Has the trial been made? UserError if its folder holds a run with other settings."""
        if not (folder.path / "config.yaml").is_file():
            return False
        before = config_module.load(folder.path / "config.yaml").model_dump(mode="json")
        for key, (there, here) in differing([before, trial.config.model_dump(mode="json")]).items():
            raise UserError(
                f"{folder.path} was made with {key} = {there!r}, which is now {here!r}. Repeat the command that began "
                "this series, or choose another folder with --out DIR."
            )
        return read(folder.path).state == "finished"

    def _data(self, config: Config) -> Path:
        decides = config.model_dump(mode="json", include={"data": set(DATA), "tokenizer": True})
        decides |= {"weights": config.model.weights_sha256} if config.model.weights else {}
        return self.folder / "data" / hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]

    def _share_data(self, config: Config, folder: RunFolder) -> None:
        """Give the run the series' data: the same files under another name, so they take no room."""
        if folder.data.exists():
            return
        self.corpus(config)
        partial = folder.path / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        folder.path.mkdir(parents=True, exist_ok=True)
        shutil.copytree(self._data(config), partial, copy_function=_link)
        partial.rename(folder.data)

    def _write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self._notes.with_suffix(".partial")
        partial.write_text(json.dumps(self.notes, indent=1) + "\n", encoding="utf-8")
        partial.replace(self._notes)


def changed(config: Config, settings: dict[str, Any]) -> Config:
    """`config` with other values at dotted keys."""
    tree = config.model_dump(mode="json")
    for key, value in settings.items():
        *parents, last = key.split(".")
        here = tree
        for parent in parents:
            here = here[parent]
        here[last] = value
    return config_module.parse(tree, ", ".join(settings))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
