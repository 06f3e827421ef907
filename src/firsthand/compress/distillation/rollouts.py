"""On-policy distillation: the student writes, and the teacher says of every word what it would have said there.

A student that only reads good texts never learns to go on from its own mistakes (Agarwal et al., generalised knowledge
distillation, arXiv 2306.13649, algorithm 1).
"""

import random
from dataclasses import dataclass, replace
from typing import Any

import torch

from firsthand.errors import UserError
from firsthand.generate.decode import generate
from firsthand.generate.packed import pack
from firsthand.model.language_model import LanguageModel
from firsthand.train.loop import Batches
from firsthand.types import IGNORE, Batch


@dataclass(frozen=True)
class OnPolicy:
    """`share`: of the steps (lambda of algorithm 1), in which the student goes on by itself after the first
    `prompt_tokens` of each row, drawing at `temperature`. UserError for what is out of its range."""

    share: float = 0.5
    prompt_tokens: int = 32
    temperature: float = 1.0

    @staticmethod
    def of(setting: dict[str, Any]) -> "OnPolicy":
        known = OnPolicy.__dataclass_fields__
        unknown = [key for key in setting if key not in known]
        found = OnPolicy() if unknown else OnPolicy(**setting)
        if unknown or not 0 < found.share <= 1 or found.prompt_tokens < 1 or found.temperature < 0:
            raise UserError(
                f"train.objective.on_policy = {setting!r}: write {{share: 0.5, prompt_tokens: 32, temperature: 1.0}}, "
                "a share of the steps between 0 and 1, at least one token of a prompt, a temperature of at least 0."
            )
        return found


class Rollouts:
    """Where the loader stands: its batches, and in a share of the steps what the student writes in their place.

    Which steps and what is drawn depends on the seed, the step and the student's weights alone, so a run resumes
    exactly.
    """

    def __init__(self, batches: Batches, student: LanguageModel, setting: OnPolicy, seed: int, vocab_size: int) -> None:
        self.microbatches = batches.microbatches
        self._batches, self._student, self._setting = batches, student, setting
        self._seed, self._vocab_size = seed, vocab_size

    def batch(self, step: int) -> list[Batch]:
        batches = self._batches.batch(step)
        if random.Random(f"on-policy/{self._seed}/{step}").random() >= self._setting.share:
            return batches
        writer = pack(self._student, engine="torch")
        return [self._written(writer, batch, step, number) for number, batch in enumerate(batches)]

    def _written(self, writer: LanguageModel, batch: Batch, step: int, number: int) -> Batch:
        """The batch with all but the beginnings of its rows written anew; only what was written is learnt."""
        rows, time = batch.inputs.shape
        prompt = self._setting.prompt_tokens
        if prompt > time:
            raise UserError(
                f"train.objective.on_policy: prompt_tokens = {prompt} leaves nothing to write in rows of {time} tokens."
            )
        new = time + 1 - prompt
        device = batch.inputs.device
        chosen = torch.cat((batch.inputs, batch.inputs[:, -1:]), 1)
        first = (step * self.microbatches + number) * rows
        drawn = generate(
            writer,
            batch.inputs[:, :prompt].tolist(),
            new,
            seed=self._seed,
            sequences=range(first, first + rows),
            vocab_size=self._vocab_size,
            temperature=self._setting.temperature,
        )
        for at, ids in enumerate(drawn, prompt):
            chosen[:, at] = torch.tensor(ids, device=device)
        inputs, targets = chosen[:, :-1].contiguous(), chosen[:, 1:].clone()
        targets[:, : prompt - 1] = IGNORE
        return Batch(inputs, targets, replace(batch.place, document=None, ids=inputs))
