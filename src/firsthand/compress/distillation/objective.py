"""The objective of a student: what came next, and what its teacher would have expected."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from firsthand.compress.distillation.divergence import divergence as divergence_called
from firsthand.compress.distillation.head import Aim, Lesson, TaughtHead
from firsthand.compress.distillation.listening import Heard, listening
from firsthand.compress.distillation.matching import Pairs, attach, carried
from firsthand.compress.distillation.rollouts import OnPolicy, Rollouts
from firsthand.compress.distillation.stored import Stored
from firsthand.compress.distillation.teacher import Teacher
from firsthand.data.shards import Tokens
from firsthand.errors import UserError
from firsthand.model.language_model import LanguageModel
from firsthand.ops.frozen import lowered
from firsthand.train.loop import Batches
from firsthand.train.objectives.next_token import NextToken
from firsthand.types import IGNORE, Batch, Loss


class Distill:
    """alpha · T² · D(teacher, student) + (1 - alpha) · -ln p(target), summed over the targets (arXiv 1503.02531).

    `teacher`: a model, or in a recipe the name of one, anything that `firsthand generate` opens. `logits`: the folder
    of what it has said of the training text (`firsthand data teach`), so that it need not be asked again.
    `temperature` T, `divergence` D and `beta` are those of divergence.py; with `top_k` only the teacher's likeliest
    words are told apart (head.py). `hidden` and `attention` match what goes on inside (matching.py), `on_policy` lets
    the student write (rollouts.py). A model that is not in training mode is judged by what came next alone, and asks no
    teacher. UserError for a setting out of its range.
    """

    compiles = False
    """What a teacher says is compared a few rows at a time, by a Function of our own: no compiler need look at it."""

    def __init__(
        self,
        teacher: Any = None,
        temperature: float = 1.0,
        alpha: float = 0.5,
        divergence: str = "forward",
        beta: float = 0.5,
        top_k: int | None = None,
        logits: str | None = None,
        hidden: dict[str, Any] | None = None,
        attention: dict[str, Any] | None = None,
        on_policy: dict[str, Any] | None = None,
    ) -> None:
        if temperature <= 0 or not 0 <= alpha <= 1 or (top_k is not None and top_k < 1):
            raise UserError(
                f"train.objective: temperature={temperature} must be above 0, alpha={alpha} between 0 and 1, and "
                f"top_k={top_k} at least 1."
            )
        self.lesson = Lesson(divergence_called(divergence, beta), float(temperature), float(alpha))
        self.top_k = top_k
        self.pairs = {
            name: Pairs(name, setting) for name, setting in (("hidden", hidden), ("attention", attention)) if setting
        }
        self.on_policy = None if on_policy is None else OnPolicy.of(on_policy)
        if self.on_policy and (alpha < 1 or logits):
            raise UserError(
                "train.objective.on_policy needs alpha=1 and no stored logits: a student's own words are no targets, "
                "and nobody has asked the teacher about them before."
            )
        self.stored = None if logits is None else Stored(Path(logits))
        self.teacher = Teacher(teacher) if isinstance(teacher, LanguageModel) else None
        self._plain = NextToken()

    @property
    def needs_teacher(self) -> bool:
        """Whether the teacher itself is asked, and not only what it has said before."""
        return self.stored is None or bool(self.pairs)

    def begin(self, student: LanguageModel, tokens: Any = None) -> None:
        """Make what learns beside the student, and check that what is stored is about these tokens.

        Before the optimizer is made. UserError for what does not fit.
        """
        if self.needs_teacher and self.teacher is None:
            raise UserError("train.objective: distill needs a teacher. Name one: train.objective.teacher=MODEL.")
        if self.stored is not None:
            if not isinstance(tokens, Tokens):
                raise UserError("train.objective.logits is about a text; it does not fit data.kind=conversations.")
            self.stored.check(tokens, self.lesson.temperature)
        if self.teacher is not None:
            attach(student, self.teacher.model, self.pairs)

    def batches(self, loader: Batches, student: LanguageModel, seed: int, vocab_size: int) -> Batches:
        """What stands where the loader stood."""
        return Rollouts(loader, student, self.on_policy, seed, vocab_size) if self.on_policy else loader

    def __call__(self, model: LanguageModel, batch: Batch) -> Loss:
        if not model.training:
            return self._plain(model, batch)
        matches = carried(model)
        assert matches.keys() == self.pairs.keys(), "`begin` makes what stands between student and teacher"
        counted = batch.targets != IGNORE
        with listening(model, *self._layers(0)) as own:
            x, _, extra_loss = model.trunk(model.embed(batch.inputs, batch.place), batch.place)
        aims, other = self._asked(model, batch, counted)
        rows = x.flatten(0, 1) if bool(counted.all()) else x[counted]  # a view, where all count
        head = _head(model, rows)
        value, soft, nats = TaughtHead.apply(*head, batch.targets[counted], aims, self.lesson, model.softcap)  # type: ignore[no-untyped-call]
        metrics = {"nats": nats.detach(), "soft": soft.detach()}
        for name, match in matches.items():
            more = match(own, other, counted)
            value, metrics[name] = value + more, more.detach()
        count = counted.sum()
        return Loss(value + extra_loss * count, count, metrics)

    def _layers(self, side: int) -> tuple[list[int], list[int]]:
        """The layers of the student (0) or the teacher (1) to listen to: after them, and within."""
        found = {name: [pair[side] for pair in one.layers] for name, one in self.pairs.items()}
        return found.get("hidden", []), found.get("attention", [])

    def _asked(self, model: LanguageModel, batch: Batch, counted: Tensor) -> tuple[Callable[[slice], Aim], Heard]:
        """What the teacher says of the tokens that count, a few at a time, and what went on inside it."""
        teacher, stored, other = self.teacher, self.stored, Heard()
        read = None
        if self.needs_teacher:
            if teacher is None:
                raise UserError("train.objective: distill needs a teacher. Name one: train.objective.teacher=MODEL.")
            with listening(teacher.model, *self._layers(1)) as other:
                read = teacher.read(batch)[counted]
        if stored is not None:
            assert batch.source is not None, "windows of a text know where they stand"
            places = batch.source[counted]
            return lambda rows: stored.at(places[rows]), other
        assert teacher is not None
        assert read is not None
        temperature, top_k = self.lesson.temperature, self.top_k
        return lambda rows: Aim.of(teacher.logits(read[rows], model.vocab_size), temperature, top_k), other


def _head(model: LanguageModel, x: Tensor) -> tuple[Tensor, Tensor]:
    """What enters the head, and its weight, in the precision that the run computes in."""
    x, weight = model.final(x), model.head_weight
    if torch.is_autocast_enabled(x.device.type):
        lower = torch.get_autocast_dtype(x.device.type)
        return x.to(lower), lowered(weight, lower)
    return x, weight
