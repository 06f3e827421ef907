"""A run whose objective has a teacher: who that is, and what learns beside the student and is kept apart."""

from typing import Any

import torch
from torch import Tensor

from firsthand import opened
from firsthand.compress.distillation import TAUGHT
from firsthand.compress.distillation.matching import is_lesson
from firsthand.compress.distillation.objective import Distill
from firsthand.compress.distillation.teacher import same_tokenizer
from firsthand.config import Config
from firsthand.errors import UserError
from firsthand.experiments.corpus import AnyCorpus
from firsthand.interop import models
from firsthand.model.language_model import LanguageModel
from firsthand.parts import split
from firsthand.train.loop import Batches
from firsthand.train.objectives import Objective

ITSELF = "itself"
"""The slot of an optimizer's state in which a checkpoint keeps a lesson's own weights."""


def check(config: Config) -> None:
    """UserError, before there is any data, where a recipe asks for a teacher and names none, or none that is here."""
    name, arguments = split(config.train.objective)
    if name in TAUGHT and not (arguments.get("teacher") or arguments.get("logits")):
        raise UserError(
            f"train.objective={name} needs a teacher. Name one, or what it has said: train.objective.teacher=MODEL or "
            "train.objective.logits=DIR (firsthand data teach)."
        )
    if name in TAUGHT and isinstance(arguments.get("teacher"), str):
        models.place_of(arguments["teacher"])


def teacher_of(config: Config, corpus: AnyCorpus, device: torch.device) -> LanguageModel | None:
    """The model that the objective names, if it must be asked. UserError if its tokens are not the corpus's."""
    name, arguments = split(config.train.objective)
    named = arguments.get("teacher")
    inside = arguments.get("hidden") or arguments.get("attention")
    if name not in TAUGHT or not isinstance(named, str) or (arguments.get("logits") and not inside):
        return None
    found = opened.open_model(named, str(device))
    if found.labels:
        raise UserError(f"train.objective.teacher={named} names classes, which teaches no student to write.")
    same_tokenizer(found.tokenizer, corpus.tokenizer, (named, f"of the run {config.run.name}"))
    return found.model


def begin(objective: Objective, model: LanguageModel, corpus: AnyCorpus) -> None:
    """Make what an objective with a teacher needs beside the student: before the optimizer is made."""
    if isinstance(objective, Distill):
        objective.begin(model, corpus.train)


def batches(objective: Objective, loader: Batches, model: LanguageModel, seed: int, vocab_size: int) -> Batches:
    """What the loop reads: the loader, or what the student writes in its place."""
    return objective.batches(loader, model, seed, vocab_size) if isinstance(objective, Distill) else loader


def lessons(model: LanguageModel) -> dict[str, Any]:
    """What learns beside the student, by names of optimizer states: no part of the student, yet needed to go on."""
    return {f"{name}.{ITSELF}": p.detach() for name, p in model.named_parameters() if is_lesson(name)}


def with_lessons(model: dict[str, Tensor], optimizer: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights of a saved model with its lessons again, and the optimizer's state without them."""
    own = {key: value for key, value in optimizer.items() if is_lesson(key) and key.endswith(f".{ITSELF}")}
    rest = {key: value for key, value in optimizer.items() if key not in own}
    return model | {key.removesuffix(f".{ITSELF}"): value for key, value in own.items()}, rest
