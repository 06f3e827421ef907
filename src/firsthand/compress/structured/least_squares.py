"""Which columns of a map stay, and what they must be so that the map says as nearly as possible what it said.

A map reads h and should say r. The best weight on the kept columns K minimises Σ ‖r - W_K h_K‖² + λ ‖W_K - W°_K‖², with
W° the weight as it was: W_K = (C_K + λ W°_K) (G_KK + λ I)⁻¹, where G = Σ h hᵀ and C = Σ r hᵀ. λ is `damping` times the
mean of G's diagonal; it holds on to the old weight where the calibration text says little.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from firsthand.errors import UserError, suggest

ROUNDS = 16
"""Columns leave in so many rounds; after each, those that are left have taken over what they can."""


@dataclass
class Normal:
    """The normal equations of a map's least squares: G and C, in float64."""

    gram: Float[Tensor, "d_in d_in"]
    cross: Float[Tensor, "d_out d_in"]

    def damped(self, weight: Float[Tensor, "d_out d_in"], damping: float) -> "Normal":
        """With λ: G + λ I and C + λ W°."""
        size = damping * float(self.gram.diagonal().mean()) or 1.0
        return Normal(self.gram + size * torch.eye(len(self.gram), dtype=torch.float64), self.cross + size * weight)


def refitted(
    weight: Float[Tensor, "d_out d_in"], normal: Normal, kept: Int[Tensor, " kept"], damping: float
) -> Float[Tensor, "d_out kept"]:
    """The best weight on the kept columns."""
    damped = normal.damped(weight.double(), damping)
    gram, cross = damped.gram[kept][:, kept], damped.cross[:, kept]
    return torch.cholesky_solve(cross.T, torch.linalg.cholesky(gram)).T.to(weight.dtype)


def obs(
    weight: Float[Tensor, "d_out d_in"], normal: Normal, stay: int, width: int, sets: int, damping: float
) -> Int[Tensor, " kept"]:
    """The columns that stay, by what taking each away costs when the others make up for it (optimal brain surgeon).

    Columns come in units of `width`, and units in `sets` of equal size, each of which keeps `stay`.
    """
    there = torch.ones(weight.shape[1] // width, dtype=torch.bool)
    for gone, _ in leaving(weight, normal, stay, width, sets, damping):
        there[gone] = False
    return torch.arange(weight.shape[1]).view(-1, width)[there].flatten()


def leaving(
    weight: Float[Tensor, "d_out d_in"], normal: Normal, stay: int, width: int, sets: int, damping: float
) -> Iterator[tuple[Int[Tensor, " units"], float]]:
    """The units that leave, round by round, and by how much that makes the least error grow.

    Without the unit u it grows by tr(W_u (H⁻¹_uu)⁻¹ W_uᵀ), where H = G + λ I and W is the best weight so far (Hassibi
    and Stork 1993; of whole columns: ZipLM, arXiv 2302.04089, section 3.1). The cheapest leave, in ROUNDS; then W and
    H⁻¹ are those of the columns that are left.
    """
    damped = normal.damped(weight.double(), damping)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped.gram))
    best = damped.cross @ inverse
    there = torch.ones(len(inverse) // width, dtype=torch.bool)
    columns = torch.arange(len(inverse)).view(-1, width)
    many = len(there) // sets - stay
    for number in range(ROUNDS):
        count = many * (number + 1) // ROUNDS - many * number // ROUNDS
        if count:
            costs = _costs(best, inverse, there, width).view(sets, -1)
            gone = (
                costs.argsort(dim=1, stable=True)[:, :count] + torch.arange(sets)[:, None] * costs.shape[1]
            ).flatten()
            some = columns[gone].flatten()
            lost = torch.linalg.solve(inverse[some][:, some], best[:, some].T)
            cost = float((lost * best[:, some].T).sum())
            best = best - lost.T @ inverse[some]
            inverse = inverse - inverse[:, some] @ torch.linalg.solve(inverse[some][:, some], inverse[some])
            there[gone] = False
            yield gone, cost


def _costs(
    best: Float[Tensor, "d_out d_in"], inverse: Float[Tensor, "d_in d_in"], there: Tensor, width: int
) -> Float[Tensor, " units"]:
    """tr(W_u (H⁻¹_uu)⁻¹ W_uᵀ) of each unit; infinite for those that are gone."""
    units = len(there)
    blocks = inverse.view(units, width, units, width).diagonal(dim1=0, dim2=2).permute(2, 0, 1).clone()
    blocks[~there] = torch.eye(width, dtype=blocks.dtype)
    own = best.view(-1, units, width).permute(1, 2, 0)
    costs: Tensor = (own * torch.linalg.solve(blocks, own)).sum((1, 2))
    return costs.masked_fill(~there, float("inf"))


def wanda(
    weight: Float[Tensor, "d_out d_in"], normal: Normal, stay: int, width: int, sets: int, damping: float
) -> Int[Tensor, " kept"]:
    """The columns that stay, by Σ |W| · ‖h‖₂ over a unit (Wanda, arXiv 2306.11695, section 3, on whole columns as in
    FLAP, arXiv 2312.11983, section 4). What the others could make up for is not asked."""
    scores = (weight.double().abs().sum(0) * normal.gram.diagonal().sqrt()).view(-1, width).sum(1).view(sets, -1)
    best = scores.argsort(dim=1, descending=True, stable=True)[:, :stay] + torch.arange(sets)[:, None] * scores.shape[1]
    units = best.flatten().sort().values
    return (units[:, None] * width + torch.arange(width)).flatten()


SCORES = {"obs": obs, "wanda": wanda}


def check_score(method: str, score: str, damping: float) -> None:
    """UserError for settings that choose nothing."""
    if score not in SCORES:
        raise UserError(f"{method}: there is no score {score!r}. {suggest(score, SCORES)}")
    if damping <= 0:
        raise UserError(f"{method}: damping = {damping} must be above 0; 0.01 is usual.")


def check_share(method: str, share: float) -> None:
    """UserError for a share that leaves nothing, or takes nothing."""
    if not 0 <= share < 1:
        raise UserError(f"{method}: share = {share} is what leaves; it must be at least 0 and below 1, such as 0.25.")
