"""A model on its way to a smaller one, and what a method may use on that way."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from firsthand.errors import UserError, suggest
from firsthand.model.language_model import LanguageModel
from firsthand.model.quantized import Kept


class Unsuited(UserError):
    """A method has nothing to do in such a model, or what it would change there is not known: no fault of the plan."""


@dataclass
class Subject:
    """The model that a plan's steps change in place; its own copy. `fields`: of a recipe's `model`, kept true by those
    who change shapes, so that the model can be built again. `notes`: what people should know, a line each. `tables`:
    what was measured on the way, rows by the name of the table."""

    model: LanguageModel
    fields: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @staticmethod
    def of(model: LanguageModel, fields: dict[str, Any]) -> "Subject":
        """A copy to be changed, in evaluation mode; the model itself stays as it is."""
        return Subject(copy.deepcopy(model).eval(), copy.deepcopy(fields))


@dataclass(frozen=True)
class Given:
    """What methods may use. `windows`: rows of calibration tokens. `original`: the model that the plan began with, for
    methods that learn from it. `train`: continues the training of the subject's model for those that need it, with
    settings of a recipe (key=value). `done` is told how far a method is, from 0 to 1, and in what."""

    windows: Int[Tensor, "windows time"]
    original: LanguageModel
    seed: int = 0
    train: Callable[[Subject, dict[str, Any]], None] | None = None
    done: Callable[[float, str], object] = lambda share, what: None

    @property
    def generator(self) -> torch.Generator:
        """A fresh one, so that methods do not depend on each other's draws."""
        return torch.Generator().manual_seed(self.seed)


def linear_maps(model: nn.Module, targets: str | list[str] = "layers") -> dict[str, Any]:
    """The linear maps of a model by name: those within its layers, or with "all" the head too, if it has its own.

    A list has patterns of whole names ("blocks.0.*", "*.mixer.query") or the last part of names ("query"). A map whose
    weight stands in few bits already is none of them. UserError for a target that means nothing.
    """
    inside = {name: part for name, part in model.named_modules() if type(part) is nn.Linear}
    if not isinstance(targets, list):
        if targets not in ("layers", "all"):
            raise UserError(f"targets: {targets!r} is neither layers nor all. For some maps give a list of names.")
        return {name: part for name, part in inside.items() if targets == "all" or name.startswith("blocks.")}
    chosen: set[str] = set()
    for target in targets:
        pattern = target if "." in target else f"*.{target}"
        found = {name for name in inside if fnmatchcase(name, pattern) or name == target}
        if not found:
            known = {name.rpartition(".")[2] for name in inside}
            raise UserError(f"targets: no linear map in full is called {target!r}. {suggest(target, known)}")
        chosen |= found
    return {name: part for name, part in inside.items() if name in chosen}


def is_quantized(model: nn.Module) -> bool:
    return any(isinstance(part, Kept) for part in model.modules())
