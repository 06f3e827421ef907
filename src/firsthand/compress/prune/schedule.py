"""Pruning while training: few zeros at first, then more and more slowly (Zhu & Gupta, arXiv 1710.01878)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch

from firsthand.compress.prune.choice import Choice
from firsthand.compress.prune.masks import Masks, matrices
from firsthand.errors import UserError


class Gradual:
    """s(t) = s_f + (s_i - s_f) · (1 - (t - begin) / (end - begin))³ of each matrix is zero (equation 1).

    t, `begin` and `end` are fractions of the run's budget; s_f is `sparsity`, s_i `initial`. Every `every` steps the
    weights of smallest size become zero, those that are already among them, and they stay so. After `end` the rest
    learns to do without. `scope`: "layer", "row" or "global", as for `magnitude`.
    """

    def __init__(
        self,
        sparsity: float = 0.5,
        begin: float = 0.1,
        end: float = 0.6,
        every: int = 10,
        initial: float = 0.0,
        scope: str = "layer",
    ) -> None:
        self.choice = Choice.of(sparsity, scope, None)
        if not (0 <= begin < end <= 1 and 0 <= initial <= sparsity and every > 0):
            raise UserError(
                f"gradual: begin={begin} and end={end} are fractions of the run, one after the other; every={every} "
                f"is a number of steps; and initial={initial} is at most the sparsity of {sparsity}."
            )
        self.begin, self.end, self.every, self.initial = float(begin), float(end), every, float(initial)
        self._done = False

    def share(self, fraction: float) -> float:
        """The share that is zero when this much of the budget is used."""
        if fraction < self.begin:
            return 0.0
        left = 1 - min(1.0, (fraction - self.begin) / (self.end - self.begin))
        return self.choice.sparsity + (self.initial - self.choice.sparsity) * left**3

    @torch.no_grad()
    def __call__(self, masks: Masks, steps: int, fraction: float) -> None:
        """Called after each step of a run. What it does depends on the weights and masks alone: runs resume exactly."""
        if self._done or fraction < self.begin or (steps % self.every and fraction < self.end):
            return
        choice = replace(self.choice, sparsity=self.share(fraction))
        before = {name: masks.masks[name] for name in matrices(masks.model) if name in masks.masks}
        sizes = {}
        for name, mask in before.items():
            size = masks.model.get_parameter(name).abs().masked_fill(~mask, -1.0)
            sizes[name] = size.flatten(0, -2)
        masks.put({name: after.view_as(before[name]) & before[name] for name, after in choice.masks(sizes).items()})
        self._done = fraction >= self.end


@runtime_checkable
class Pruner(Protocol):
    """What a run calls after each step, with the steps done and the fraction of its budget: it may `put` masks."""

    def __call__(self, masks: Masks, steps: int, fraction: float) -> None: ...


PRUNERS: dict[str, Callable[..., Pruner]] = {"gradual": Gradual}
