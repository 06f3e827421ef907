"""A plan becomes the folder of a run: its methods one after another, on a copy of the model, saved and opened again."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from firsthand.checkpoint import resolve
from firsthand.compress import plan
from firsthand.compress.saved import contents
from firsthand.compress.subject import Given, Subject
from firsthand.errors import UserError
from firsthand.experiments.compression.training import trainer
from firsthand.experiments.convert import save_as_run
from firsthand.interop import Imported, models
from firsthand.opened import Opened, open_model
from firsthand.parts import PartSpec
from firsthand.tokens import fingerprint

NOTE = "plan.json"
"""What a plan's folder says about itself: the plan, what it was made from, and whether it was finished."""

Done = Callable[[float, str], object]


@dataclass(frozen=True)
class Workshop:
    """What all plans are made from. `windows`: of calibration tokens. `ids`: what is trained on. `parts`: of the model
    that come from files, named again."""

    opened: Opened
    windows: Int[Tensor, "windows time"]
    ids: Int[Tensor, " tokens"]
    out: Path
    seed: int = 0
    parts: Sequence[str] = ()

    def key(self, steps: Sequence[PartSpec]) -> str:
        """Names a plan made from just this: the same steps, model, text and seed."""
        told = [list(steps), self.seed, fingerprint(self.opened.tokenizer), self._numbers]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    @cached_property
    def _numbers(self) -> str:
        """The SHA-256 of the text and the model, which all plans share."""
        found, model = hashlib.sha256(), self.opened.model
        for tensor in (self.windows, self.ids, *model.parameters(), *model.buffers()):
            found.update(tensor.detach().contiguous().cpu().flatten().view(torch.uint8).numpy().data)
        return found.hexdigest()


@dataclass(frozen=True)
class Made:
    """A plan's folder. `bytes`: of its weights on the disk. `seconds`: it took so long to make; `again`: it was there
    already."""

    name: str
    path: Path
    bytes: int
    seconds: float
    notes: list[str]
    again: bool = False


def check_places(model: str, out: Path, names: Sequence[str]) -> None:
    """UserError if what is written could touch the model, or if something else stands where it is to be written."""
    place, folder = models.place_of(model).expanduser().resolve(), out.expanduser().resolve()
    for where in (folder, *(folder / name for name in names)):
        inside = where == place or place in where.parents or (where != folder and where in place.parents)
        if inside:
            raise UserError(f"{where} is or holds the model {model}, which is never written to. Give another --out.")
    if any((out / inner).exists() for inner in ("checkpoints", "manifest.json")):
        raise UserError(f"{out} is a run of its own. Give another --out.")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file. Give the name of a folder as --out.")
    for name in names:
        if (out / name).exists() and _note(out / name) is None:
            raise UserError(
                f"{out / name} is there already and was not made by `firsthand compress`. Give another --out, or move "
                "it away."
            )


def make(workshop: Workshop, name: str, steps: Sequence[PartSpec], done: Done = lambda share, what: None) -> Made:
    """Carry out the plan and write its folder, or find it there, made from the same.

    UserError if the methods refuse the model, and if the folder holds a plan of that name that was made otherwise.
    """
    folder, key = workshop.out / name, workshop.key(steps)
    before = _note(folder)
    if before is not None and before.get("key") != key:
        raise UserError(
            f"{folder} holds a plan {name} that was made with other steps, from another model or text, or with another "
            "seed. Give another --out, or move it away."
        )
    if before is not None and before.get("finished"):
        return Made(name, folder, _bytes(folder), float(before["seconds"]), list(before["notes"]), again=True)
    folder.mkdir(parents=True, exist_ok=True)
    told = {"plan": name, "steps": list(steps), "key": key, "seed": workshop.seed}
    _write(folder, told | {"finished": False})
    started = time.perf_counter()
    subject = Subject.of(workshop.opened.model, workshop.opened.fields)
    carry_out(workshop, subject, name, steps, done)
    save(subject, workshop.opened, name, folder)
    open_model(folder, parts=workshop.parts)  # every byte is verified, and it must fit
    seconds = round(time.perf_counter() - started, 1)
    _write(folder, told | {"finished": True, "seconds": seconds, "notes": subject.notes})
    return Made(name, folder, _bytes(folder), seconds, subject.notes)


def carry_out(workshop: Workshop, subject: Subject, name: str, steps: Sequence[PartSpec], done: Done) -> None:
    """The methods of a plan, one after another. `done` is told how far all of them are together."""
    chosen = plan.methods(name, steps)
    tokenizer, original = workshop.opened.tokenizer, workshop.opened.model
    for number, method in enumerate(chosen):

        def tell(share: float, what: str, number: int = number) -> None:
            done((number + share) / len(chosen), what)

        train = trainer(workshop.ids, tokenizer.vocab_size, tokenizer.end_of_text, original, workshop.seed, tell)
        method(subject, Given(workshop.windows, original, workshop.seed, train, tell))
        tell(1.0, "done")


def save(subject: Subject, opened: Opened, name: str, out: Path) -> Path:
    """The subject as the only checkpoint of a run in `out`; returns the checkpoint."""
    tensors, described = contents(subject.model)
    found = Imported(subject.fields, opened.vocab_size, tensors, opened.tokenizer, opened.chat)
    return save_as_run(found, name, name, out, described)


def _bytes(folder: Path) -> int:
    return (resolve(folder) / "model.safetensors").stat().st_size


def _note(folder: Path) -> dict[str, Any] | None:
    try:
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) else None


def _write(folder: Path, note: dict[str, Any]) -> None:
    part = folder / f"{NOTE}.partial"
    part.write_text(json.dumps(note, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    part.replace(folder / NOTE)
