"""The training loop: a generator of steps. It saves, evaluates, logs and prints nothing: whoever iterates does."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch.optim import Optimizer

from firsthand.errors import UserError
from firsthand.model.language_model import LanguageModel
from firsthand.train.budget import Budget, Progress
from firsthand.train.objectives import Objective
from firsthand.train.optimizers.groups import set_rate
from firsthand.train.parallel import GradientSum, Ranks
from firsthand.train.precision import LossScale, compute_in
from firsthand.train.randomness import seed_microbatch
from firsthand.train.schedules import Schedule
from firsthand.train.step import train_step
from firsthand.types import Batch


@runtime_checkable
class Batches(Protocol):
    """What the loop asks of a loader: this rank's microbatches of a step."""

    microbatches: int

    def batch(self, step: int) -> list[Batch]: ...


@dataclass(frozen=True)
class Step:
    """What one step did. `loss` is the mean over all targets of the global batch, in the objective's unit."""

    progress: Progress
    fraction: float
    loss: float
    grad_norm: float
    lr: float
    skipped: bool
    stop: bool


@dataclass
class Loop:
    """The parts of a run; iterate over it to train. `progress` says where it stands, and may be set to resume."""

    model: LanguageModel
    objective: Objective
    optimizer: Optimizer
    schedule: Schedule
    batches: Batches
    budget: Budget
    flops_per_token: float
    device: torch.device
    precision: str
    seed: int = 0
    clip: float | None = 1.0
    compiled: bool = False
    ranks: Ranks = field(default_factory=Ranks)
    stop: Callable[[], bool] = lambda: False
    progress: Progress = field(default_factory=Progress)
    patience: int = 20
    """So many steps in a row without a finite gradient end the run."""

    def __post_init__(self) -> None:
        self.gradients = GradientSum(self.model, self.ranks.world)
        self.scale = LossScale.of(self.precision)
        objective = self.objective
        self._loss: Objective = lambda model, batch: objective(model, batch)
        if self.compiled:
            self._loss = torch.compile(self._loss)

    def __iter__(self) -> Iterator[Step]:
        skipped = 0
        started = time.perf_counter() - self.progress.seconds
        while self.budget.fraction(self.progress) < 1:
            microbatches = self.batches.batch(self.progress.steps)
            lr = set_rate(self.optimizer, self.schedule(self._middle(microbatches)))
            loss, norm, shares = self._step(microbatches, started)
            finite = bool(norm < float("inf") and abs(loss) < float("inf"))
            self.scale.update(finite)
            skipped = 0 if finite else skipped + 1
            tokens, stop = sum(row[2] for row in shares), sum(row[3] for row in shares)
            self.progress = self._after(int(tokens), seconds=max(row[-1] for row in shares))
            yield Step(self.progress, self.budget.fraction(self.progress), loss, norm, lr, not finite, stop > 0)
            if skipped >= self.patience:
                raise UserError(
                    f"The loss or its gradient was not finite in {skipped} steps in a row (until step "
                    f"{self.progress.steps}); none of them touched the weights. Lower the optimizer's lr, or lengthen "
                    "the warm-up, and resume from the last checkpoint."
                )

    def _after(self, tokens: int, seconds: float) -> Progress:
        """The progress after one more step of so many tokens, at so many seconds."""
        here = self.progress
        return Progress(here.steps + 1, here.tokens + tokens, seconds, here.flops + tokens * self.flops_per_token)

    def _middle(self, microbatches: list[Batch]) -> float:
        """The share of the budget that is used half-way through this step, as far as that is known beforehand.

        Schedules are asked there: at its beginning a warm-up from 0 would waste the first step, at its end a decay to
        0 the last.
        """
        tokens = self.ranks.world * sum(batch.inputs.numel() for batch in microbatches)
        after = self._after(tokens, self.progress.seconds)
        return (self.budget.fraction(self.progress) + self.budget.fraction(after)) / 2

    def _step(self, microbatches: list[Batch], started: float) -> tuple[float, float, list[list[float]]]:
        """`train_step`, with this run's precision, seeds and ranks; and what the ranks told each other: of each the
        loss's sum and count, tokens, whether to stop, and seconds since it `started`."""
        first = self.ranks.rank * len(microbatches)
        shares: list[list[float]] = []

        def forward(number: int) -> AbstractContextManager[object]:
            seed_microbatch(self.seed, self.progress.steps, first + number)
            return compute_in(self.precision, self.device)

        def add_up(total: float, count: float) -> tuple[float, float]:
            seen, elapsed = sum(batch.inputs.numel() for batch in microbatches), time.perf_counter() - started
            shares.extend(self.ranks.gather([total, count, float(seen), float(self.stop()), elapsed]))
            return sum(row[0] for row in shares), sum(row[1] for row in shares)

        loss, norm = train_step(
            self.model,
            microbatches,
            self._loss,
            self.optimizer,
            self.clip,
            self.scale.scale,
            forward,
            self.gradients,
            add_up,
        )
        return loss, norm, shares
