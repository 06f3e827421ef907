"""Milestone M7: a trained model made smaller in several ways, by parts that may be a learner's; bytes against loss."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from firsthand.compress.subject import linear_maps
from firsthand.data.loader import Loader, evaluation
from firsthand.evaluate.perplexity import score
from firsthand.experiments.corpus import Corpus
from firsthand.model.count import flops_per_token
from firsthand.model.language_model import LanguageModel
from firsthand.model.make import build_model
from firsthand.train.budget import Budget
from firsthand.train.loop import Loop
from firsthand.train.objectives import Objective
from firsthand.train.objectives.next_token import NextToken
from firsthand.train.optimizers.adamw import adamw
from firsthand.train.schedules import warmup_cosine
from firsthand.types import Batch, Loss

RECOVERY, LESSONS = 40, 200
"""Steps: of a pruned model with its teacher, and of a student."""
RECOVERY_RATE, STUDENT_RATE = 1e-3, 5e-3
TEMPERATURE, ALPHA = 2.0, 0.5
EVALUATED = 16384
"""Held-out tokens, from all over the text."""
HALVED = ("n_layers", "d_model", "d_ff", "n_heads", "n_kv_heads")


@dataclass(frozen=True)
class Version:
    """`bytes`: of a file with all its numbers. `uses`: the exercises whose parts made it."""

    name: str
    bytes: int
    bits_per_byte: float
    uses: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Taught:
    """An objective: what the teacher says and what the text says, by a function like compress.distill.distill_loss."""

    def __init__(self, teacher: LanguageModel, loss: Callable[..., Loss]) -> None:
        self.teacher, self.loss = teacher, loss

    def __call__(self, model: LanguageModel, batch: Batch) -> Loss:
        with torch.no_grad():
            aim = self.teacher(batch.inputs, batch.place)
        return self.loss(model(batch.inputs, batch.place), aim, batch.targets, TEMPERATURE, ALPHA)


@dataclass(frozen=True)
class Smaller:
    """`parts`: the functions of lesson 15 by name. `fields`: of the original, files included. `wanted`: exercises; only
    versions that use one of them are made (None: all)."""

    original: LanguageModel
    fields: dict[str, Any]
    corpus: Corpus
    batch_tokens: int
    parts: Any
    wanted: frozenset[str] | None = None
    longer: int = 1

    def versions(self) -> Iterator[Version]:
        """One after the other, as they are made; the original comes first."""
        if self.wanted is None:
            yield self._measured("the model", (), *self._whole(self.original))
        if self._wants("quantize"):
            yield self._measured("8 bits", ("quantize",), *self._in_8_bits(self.original))
            coarse = self._in_8_bits(self.original, per_channel=False)
            yield self._measured("8 bits, one scale a map", ("quantize",), *coarse)
        if self._wants("prune", "distill"):
            yield from self._pruned()
        yield from self._students()

    def _pruned(self) -> Iterator[Version]:
        if self._wants("prune"):
            yield self._measured("2 of 4", ("prune",), *self._masked(self.parts.mask_2_of_4))
        thin, size = self._masked(lambda weight: self.parts.magnitude_mask(weight, 0.5))
        if self._wants("prune"):
            yield self._measured("half pruned", ("prune",), thin, size)
        self._train(thin, Taught(self.original, self.parts.distill_loss), RECOVERY, RECOVERY_RATE)
        yield self._measured("half pruned, then taught", ("prune", "distill"), thin, size)

    def _students(self) -> Iterator[Version]:
        if self.wanted is None:
            alone = self._student(NextToken())
            yield self._measured("a student, alone", (), *self._whole(alone))
        if self._wants("distill", "quantize"):
            taught = self._student(Taught(self.original, self.parts.distill_loss))
            if self._wants("distill"):
                yield self._measured("a student, taught", ("distill",), *self._whole(taught))
            yield self._measured("the student in 8 bits", ("distill", "quantize"), *self._in_8_bits(taught))

    def _wants(self, *exercises: str) -> bool:
        return self.wanted is None or bool(self.wanted & set(exercises))

    def _in_8_bits(self, model: LanguageModel, per_channel: bool = True) -> tuple[LanguageModel, int]:
        small, own = copy.deepcopy(model), {}
        for name, part in linear_maps(small).items():
            q, scale = self.parts.quantize_int8(part.weight.detach(), per_channel)
            part.weight.data = self.parts.dequantize(q, scale)
            own[f"{name}.weight"] = q.numel() + 4 * scale.numel()
        return small, size_of(small, own)

    def _masked(self, choose: Callable[[Tensor], Tensor]) -> tuple[LanguageModel, int]:
        """A pruned weight takes a bit for each of its places, and 4 bytes for each number that is there."""
        small = copy.deepcopy(self.original)
        masks = {f"{name}.weight": choose(part.weight.detach()) for name, part in linear_maps(small).items()}
        self.parts.apply_masks(small, masks)
        own = {name: -(-mask.numel() // 8) + 4 * int(mask.sum()) for name, mask in masks.items()}
        return small, size_of(small, own)

    def _student(self, objective: Objective) -> LanguageModel:
        """Half as many layers, half as wide."""
        half = {key: size // 2 for key in HALVED if (size := self.fields.get(key)) and size % 2 == 0}
        torch.manual_seed(0)
        model = build_model(self.fields | half, self.original.vocab_size)
        self._train(model, objective, LESSONS, STUDENT_RATE)
        return model

    def _train(self, model: LanguageModel, objective: Objective, steps: int, rate: float) -> None:
        """By the one loop."""
        loop = Loop(
            model,
            objective,
            adamw(list(model.named_parameters()), rate),
            warmup_cosine(0.05),
            Loader(self.corpus.train, model.context_length, self.batch_tokens),  # type: ignore[arg-type]
            Budget(steps=steps * self.longer),
            flops_per_token(model),
            torch.device("cpu"),
            "fp32",
        )
        for _ in loop:
            pass
        model.eval()

    def _whole(self, model: LanguageModel) -> tuple[LanguageModel, int]:
        return model, size_of(model, {})

    def _measured(self, name: str, uses: tuple[str, ...], model: LanguageModel, size: int) -> Version:
        held_out: Any = self.corpus.validation
        every = -(-len(held_out) // EVALUATED)
        batches = islice(evaluation(held_out, model.context_length, 32), 0, None, every)
        nats = score(model, batches, NextToken()).nats_per_token
        tokens_per_byte = (len(held_out) - 1) / self.corpus.validation_bytes
        return Version(name, size, nats / math.log(2) * tokens_per_byte, uses)


def size_of(model: LanguageModel, own: dict[str, int]) -> int:
    """Bytes of a file: 4 for a number, but `own` for the weights that do not stand in fp32."""
    return sum(own.get(name, 4 * one.numel()) for name, one in model.named_parameters())


def front(versions: list[Version]) -> set[str]:
    """The names of those than which nothing is both smaller and better."""

    def beats(one: Version, other: Version) -> bool:
        no_worse = one.bytes <= other.bytes and one.bits_per_byte <= other.bits_per_byte
        return no_worse and (one.bytes, one.bits_per_byte) != (other.bytes, other.bits_per_byte)

    return {one.name for one in versions if not any(beats(other, one) for other in versions)}
