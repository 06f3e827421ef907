"""Which weights of a map stay: those of the largest scores, so many of them as asked, compared with whom is asked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from firsthand.compress.prune.n_m import mask_n_of_m
from firsthand.errors import UserError, suggest

SCOPES = ("layer", "row", "global")

HALF = 0.5
"""The share that goes where nothing is said."""


@dataclass(frozen=True)
class Choice:
    """The share `sparsity` goes: of each map (scope "layer"), of each row of it, or of all maps together ("global").

    `group`, (n, m), asks instead that of every m neighbours in a row n stay.
    """

    sparsity: float = HALF
    scope: str = "layer"
    group: tuple[int, int] | None = None

    @staticmethod
    def of(
        sparsity: float | None, scope: str | None, pattern: str | None, scopes: tuple[str, ...] = SCOPES
    ) -> "Choice":
        """What a plan says, of whose `scopes` the first is the usual one. UserError for what contradicts itself or
        would leave nothing."""
        if pattern is None:
            share = HALF if sparsity is None else float(sparsity)
            if not 0 <= share < 1:
                raise UserError(
                    f"sparsity={sparsity} would leave {'nothing of the model' if share >= 1 else 'more than all'}: it "
                    "is the share of weights that become zero, at least 0 and less than 1."
                )
            if scope is not None and scope not in scopes:
                raise UserError(f"There is no scope {scope!r} to compare weights in. {suggest(scope, scopes)}")
            return Choice(share, scope or scopes[0])
        n, m = parsed(pattern)
        if scope is not None or (sparsity is not None and abs(sparsity - (1 - n / m)) > 1e-9):
            raise UserError(
                f"pattern={pattern} says already which weights are compared, and that {1 - n / m:.3g} of them go. "
                "Leave sparsity and scope out."
            )
        return Choice(1 - n / m, "row", (n, m))

    def mask(self, score: Float[Tensor, "d_out d_in"]) -> Bool[Tensor, "d_out d_in"]:
        """True for the weights of one map that stay. UserError if none would."""
        if self.group is not None:
            return mask_n_of_m(score, *self.group)
        if self.scope == "row":
            going = score.argsort(dim=1, stable=True)[:, : self._count(score.shape[1])]
            return torch.ones_like(score, dtype=torch.bool).scatter_(1, going, False)
        return largest(score, self._count(score.numel()))

    def masks(self, scores: Mapping[str, Float[Tensor, "d_out d_in"]]) -> dict[str, Bool[Tensor, "d_out d_in"]]:
        """`mask` of every map, compared with each other if the scope is global."""
        if self.scope != "global":
            return {name: self.mask(score) for name, score in scores.items()}
        flat = torch.cat([score.flatten() for score in scores.values()])
        parts = torch.split(largest(flat, self._count(len(flat))), [score.numel() for score in scores.values()])
        return {name: part.view_as(score) for (name, score), part in zip(scores.items(), parts, strict=True)}

    def _count(self, weights: int) -> int:
        """How many of so many go."""
        count = round(self.sparsity * weights)
        if count >= weights:
            raise UserError(f"sparsity={self.sparsity} would leave none of {weights} weights. Ask for less.")
        return count


def largest(score: Float[Tensor, "..."], count: int) -> Bool[Tensor, "..."]:
    """False for the `count` smallest scores, the earlier ones of equals, and True for the others."""
    flat = score.flatten()
    if count == 0:
        return torch.ones_like(score, dtype=torch.bool)
    border = flat.kthvalue(count).values
    mask = flat > border
    equal = (flat == border).nonzero().flatten()
    staying = len(flat) - count - int(mask.sum())
    mask[equal[len(equal) - staying :]] = True
    return mask.view_as(score)


def parsed(pattern: str) -> tuple[int, int]:
    """(2, 4) of "2:4". UserError for what is no such pattern, or leaves all or nothing."""
    found = re.fullmatch(r"(\d{1,4}):(\d{1,4})", pattern)
    n, m = (int(number) for number in found.groups()) if found else (0, 0)
    if not 0 < n < m:
        raise UserError(f"pattern={pattern!r} is no pattern: write 2:4 where of every 4 neighbours in a row 2 stay.")
    return n, m
