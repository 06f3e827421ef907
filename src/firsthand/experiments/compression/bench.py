"""A model on the bench: its plans are made, opened again from the disk, judged and timed beside it."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from firsthand.compress.plan import Plans
from firsthand.compress.subject import Unsuited
from firsthand.errors import UserError
from firsthand.evaluate import texts
from firsthand.evaluate.ask import Asked
from firsthand.evaluate.bootstrap import Figure
from firsthand.evaluate.task import load
from firsthand.evaluate.texts import Passage, Texts
from firsthand.experiments.compression import layers, making
from firsthand.experiments.compression.making import Workshop
from firsthand.experiments.compression.row import BF16, ORIGINAL, Row, quality
from firsthand.experiments.compression.speed import KINDS, Rates, Rounds, Runner, in_turns, rates
from firsthand.experiments.compression.texts import calibration_windows, judged_texts, sides, token_ids
from firsthand.experiments.evaluation import judge_task
from firsthand.experiments.machine import processor
from firsthand.generate.packed import pack
from firsthand.model.language_model import LanguageModel
from firsthand.opened import Opened, open_model
from firsthand.parts import PartSpec
from firsthand.types import Document

LOOKED_AT = 4
"""Windows on which layers are compared."""


@runtime_checkable
class Show(Protocol):
    """What is told meanwhile: a line that stays, and how far something is."""

    def note(self, text: str) -> None: ...
    def done(self, share: float, what: str) -> None: ...


class Silent:
    def note(self, text: str) -> None:
        """Nobody looks."""

    def done(self, share: float, what: str) -> None:
        """Nobody looks."""


@dataclass(frozen=True)
class Question:
    """What is asked: a model's name and the plans. `tokens`: of the text that models are judged on, at most.

    `precision`: in which they are judged. `rounds`: of timing; 0 for none. `command`: what was typed, for the page.
    """

    model: str
    plans: Plans
    text: str | None = None
    calibration: str | None = None
    tasks: Sequence[Path] = ()
    tokens: int = 1 << 14
    rounds: int = 3
    seed: int = 0
    precision: str = "fp32"
    threads: int | None = None
    parts: Sequence[str] = ()
    command: str = ""


@dataclass
class Bench:
    """A model with what its plans are made from and judged by. `facts`: about all that, a sentence each. `base`: what
    the original makes of the passages, once it has been judged."""

    question: Question
    workshop: Workshop
    judged: Texts
    facts: list[str]
    show: Show
    base: list[Passage] = field(default_factory=list)

    def originals(self) -> list[Row]:
        """The model as it is, and as it computes in bf16: weights of four and of two bytes."""
        opened = self.workshop.opened
        numbers = sum(weight.numel() for weight in opened.model.parameters())
        first = self._row(ORIGINAL, opened, opened.model, 4 * numbers)
        return [first, self._row(BF16, opened, pack(opened.model, "bf16", "torch"), 2 * numbers)]

    def plan(self, name: str, steps: Sequence[PartSpec]) -> Row:
        """Make a plan, open what was written, and judge that. If a method refuses, the row says why."""
        show, workshop = self.show, self.workshop
        try:
            made = making.make(workshop, name, steps, lambda share, what: show.done(share, f"{name}: {what}"))
        except UserError as error:
            row = Row(name, list(steps), error=str(error), unsuited=isinstance(error, Unsuited))
            show.note(row.why_not)
            return row
        how = "was there already" if made.again else f"made in {made.seconds:.0f} s"
        show.note(f"{name}: {how}, {made.bytes / 1e6:,.1f} MB")
        opened = open_model(made.path, parts=self.question.parts)
        seen = layers.compare(workshop.opened.model, opened.model, workshop.windows[:LOOKED_AT])
        row = self._row(name, opened, opened.model, made.bytes)
        return replace(row, steps=list(steps), notes=made.notes, seconds=made.seconds, layers=seen)

    def timed(self, rows: Sequence[Row]) -> list[Row]:
        """The rows with their speeds: each plan takes turns with both originals, in processes of their own."""
        question = self.question
        plans = [row.plan for row in rows if row.bits and row.plan not in (ORIGINAL, BF16)]
        if not question.rounds or not plans:
            return list(rows)
        given = (question.threads, question.parts)
        originals = {ORIGINAL: Runner(question.model, "fp32", *given), BF16: Runner(question.model, "bf16", *given)}
        found: dict[str, Rates] = {}
        every: Rounds = {name: {kind: [] for kind in KINDS} for name in originals}
        with ExitStack() as open_:
            for runner in originals.values():
                open_.enter_context(runner)
            for name in plans:
                with Runner(str(self.workshop.out / name), "auto", *given) as runner:
                    took = in_turns(originals | {name: runner}, question.rounds, self.show.done)
                    found[name] = rates(name, took, runner)
                for other, kind in product(originals, KINDS):
                    every[other][kind] += took[other][kind]
            found |= {name: rates(name, every, runner) for name, runner in originals.items()}
        return [replace(row, rates=found.get(row.plan)) for row in rows]

    def _row(self, name: str, opened: Opened, model: LanguageModel, size: int) -> Row:
        passages: list[Passage] = []
        for passage in texts.read(model, self.judged, self.question.precision if name != BF16 else "fp32"):
            passages.append(passage)
            self.show.done(len(passages) / len(self.judged.windows), f"judging {name}")
        bits, rise = quality(passages, self.base or None, self.question.seed)
        self.base = self.base or passages
        return Row(name, bits=bits, rise=rise, bytes=size, tasks=self._tasks(opened, model))

    def _tasks(self, opened: Opened, model: LanguageModel) -> dict[str, dict[str, Figure]]:
        tasks = [load(path, None, self.question.seed) for path in self.question.tasks]
        if not tasks:
            return {}
        narrow = next(model.parameters()).dtype == torch.bfloat16
        asked = Asked(model, pack(opened.model, "bf16" if narrow else "fp32"), opened.tokenizer)
        return {each.task.name: judge_task(each, asked).figures for each in tasks}


def set_up(question: Question, out: Path, show: Show) -> Bench:
    """The model, and its texts. UserError for a model that names classes, and for texts that are too short."""
    for path in question.tasks:
        load(path, None, question.seed)  # what is wrong with a task is told now
    opened = open_model(question.model, parts=question.parts)
    if opened.labels:
        raise UserError(f"{question.model} names classes; only models that write text can be compressed here.")
    asked, context = question.plans.calibration, opened.model.context_length

    def enough(documents: list[Document]) -> bool:
        return len(token_ids(opened, documents)) >= asked.windows * asked.length + context

    found = sides(question.text, question.calibration or asked.text, enough)
    ids = token_ids(opened, found.calibration)
    windows = calibration_windows(ids, asked, context)
    judged = judged_texts(opened, found.evaluation, question.tokens)
    targets = sum(stop - first for _, _, stop, first in judged.windows)
    facts = [
        *found.said,
        f"{windows.numel():,} tokens in {len(windows)} windows calibrate; {targets:,} tokens in {len(judged.windows)} "
        f"passages judge, in {question.precision}; seed {question.seed}.",
        f"{processor() or 'an unknown processor'}, torch {torch.__version__}, {question.rounds} rounds of timing.",
    ]
    for fact in facts:
        show.note(fact)
    return Bench(question, Workshop(opened, windows, ids, out, question.seed, question.parts), judged, facts, show)
