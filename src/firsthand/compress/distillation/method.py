"""A small model taught by a large one, as a step of a plan (DistilBERT, arXiv 1910.01108, section 3)."""

from typing import Any

import torch
from torch import Tensor

from firsthand.compress.distillation.matching import Pairs, attach, detach
from firsthand.compress.subject import Given, Subject
from firsthand.errors import UserError
from firsthand.model.language_model import LanguageModel
from firsthand.model.make import build_model
from firsthand.model.presets import resolve

DERIVED = {"d_model": ("n_heads", "n_kv_heads", "d_head", "d_ff"), "n_heads": ("n_kv_heads", "d_head")}
"""Sizes that follow from another, unless the student has its own."""


class DistillInto:
    """The model becomes a student of the original, which is trained to expect what the original expects.

    `student`: fields of a recipe's `model` in which it differs, {n_layers: 6}; null: the model as the plan's earlier
    steps have left it. `begin`: "cut" gives a new student the original's weights where shapes agree, of layers evenly
    spaced; "anew" gives it random ones. One of `steps`, `tokens` and `seconds` bounds the training, `lr` is its peak
    learning rate (AdamW), `settings` are others of a recipe (train.schedule, ...). What else is given is of the
    objective `distill`: temperature, alpha, divergence, top_k, hidden, attention.
    UserError for a student that cannot be made, or where nobody can train.
    """

    def __init__(
        self,
        student: dict[str, Any] | None = None,
        begin: str = "cut",
        steps: int | None = None,
        tokens: float | None = None,
        seconds: float | None = None,
        lr: float | None = None,
        temperature: float = 1.0,
        alpha: float = 0.5,
        divergence: str = "forward",
        top_k: int | None = None,
        hidden: dict[str, Any] | None = None,
        attention: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        if begin not in ("cut", "anew"):
            raise UserError(f"distill: begin={begin!r} is none of cut, anew.")
        bounds = {"steps": steps, "tokens": tokens, "seconds": seconds}
        given = {f"train.{name}": bound for name, bound in bounds.items() if bound is not None}
        if not given:
            raise UserError("distill: say how long the student learns: seconds, tokens or steps.")
        self.student, self.begin = student, begin
        objective = {"part": "distill", "temperature": temperature, "alpha": alpha, "divergence": divergence}
        inside = (("hidden", hidden), ("attention", attention))
        self.pairs = {name: Pairs(name, setting) for name, setting in inside if setting}
        more = {"top_k": top_k, "hidden": hidden, "attention": attention}
        objective |= {name: value for name, value in more.items() if value is not None}
        self.settings = {"train.objective": objective, **given, **(settings or {})}
        if lr is not None:
            self.settings["train.optimizer"] = {"part": "adamw", "lr": lr}

    def __call__(self, subject: Subject, given: Given) -> None:
        if given.train is None:
            raise UserError("distill trains a student, and there is no text to train on here.")
        if self.student is not None:
            subject.fields = student_fields(subject.fields, self.student)
            subject.model = student_of(subject.model, subject.fields, self.begin == "cut", given.seed)
        attach(subject.model, given.original, self.pairs)
        given.train(subject, self.settings)
        detach(subject.model)


def student_fields(fields: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The fields of a model with some changed; sizes that follow from these follow. UserError for an unknown one."""
    follow = {name for key in changes for name in DERIVED.get(key, ())} - changes.keys()
    follow |= {"size"} if changes else set()  # its name would bring the old sizes back
    return resolve({key: value for key, value in fields.items() if key not in follow} | changes)


def student_of(model: LanguageModel, fields: dict[str, Any], cut: bool, seed: int = 0) -> LanguageModel:
    """A model of these fields over the same vocabulary, with the other's weights where shapes agree if `cut`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        student = build_model(fields | {"tied": model.unembedding is None}, model.vocab_size)
    if cut:
        weights = dict(model.named_parameters())
        with torch.no_grad():
            for name, parameter in student.named_parameters():
                other = weights.get(_spread(name, len(student.blocks), len(model.blocks)))
                if other is not None and other.shape == parameter.shape:
                    parameter.copy_(other)
    return student.to(_device(model)).train(model.training)


def _spread(name: str, layers: int, of: int) -> str:
    """The parameter of a model of `of` layers whose place is that of `name` in one of `layers`: first to first, last to
    last."""
    head, *rest = name.split(".")
    if head not in ("blocks", "residuals") or not rest:
        return name
    place = round(int(rest[0]) * (of - 1) / max(1, layers - 1))
    return ".".join((head, str(place), *rest[1:]))


def _device(model: LanguageModel) -> torch.device:
    weight: Tensor = model.head_weight
    return weight.device
