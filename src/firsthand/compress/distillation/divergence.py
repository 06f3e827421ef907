"""How far a student's distribution is from its teacher's, and along which gradient it comes nearer.

p is the teacher's, q the student's, both over the same words; u are the scores behind q = softmax(u). Each function
takes ln q and ln p, (rows, words), and gives D of every row in nats, and dD/du.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from firsthand.errors import UserError, suggest

Found: TypeAlias = tuple[Float[Tensor, " rows"], Float[Tensor, "rows words"]]
Divergence: TypeAlias = Callable[[Float[Tensor, "rows words"], Float[Tensor, "rows words"]], Found]


def forward(log_q: Float[Tensor, "rows words"], log_p: Float[Tensor, "rows words"]) -> Found:
    """KL(p ‖ q) = Σ p ln(p / q): the student covers all that the teacher finds likely (arXiv 1503.02531)."""
    p = log_p.exp()
    return (p * (log_p - log_q)).sum(-1), log_q.exp() - p


def reverse(log_q: Float[Tensor, "rows words"], log_p: Float[Tensor, "rows words"]) -> Found:
    """KL(q ‖ p): the student keeps to what the teacher finds likely, and may leave out some (arXiv 2306.08543)."""
    q, apart = log_q.exp(), log_q - log_p
    value = (q * apart).sum(-1)
    return value, q * (apart - value.unsqueeze(-1))


def symmetric(log_q: Float[Tensor, "rows words"], log_p: Float[Tensor, "rows words"]) -> Found:
    """The mean of both (Jeffreys 1946, up to a factor)."""
    (one, one_grad), (other, other_grad) = forward(log_q, log_p), reverse(log_q, log_p)
    return (one + other) / 2, (one_grad + other_grad) / 2


def jensen_shannon(log_q: Float[Tensor, "rows words"], log_p: Float[Tensor, "rows words"], beta: float = 0.5) -> Found:
    """beta · KL(p ‖ m) + (1 - beta) · KL(q ‖ m) with m = beta · p + (1 - beta) · q, 0 < beta < 1.

    Between forward (beta near 0) and reverse (near 1), and bounded (arXiv 2306.13649, equation 1).
    """
    p, q = log_p.exp(), log_q.exp()
    log_m = torch.logaddexp(log_p + math.log(beta), log_q + math.log(1 - beta))
    apart = log_q - log_m
    kept = (q * apart).sum(-1)
    value = beta * (p * (log_p - log_m)).sum(-1) + (1 - beta) * kept
    return value, (1 - beta) * q * (apart - kept.unsqueeze(-1))


DIVERGENCES: dict[str, Divergence] = {
    "forward": forward,
    "reverse": reverse,
    "symmetric": symmetric,
    "jensen_shannon": jensen_shannon,
}


def divergence(name: str, beta: float = 0.5) -> Divergence:
    """The one called `name`; `beta` is for jensen_shannon. UserError for an unknown name or a beta out of its range."""
    if name not in DIVERGENCES:
        raise UserError(f"train.objective: there is no divergence {name!r}. {suggest(name, DIVERGENCES)}")
    if not 0 < beta < 1:
        raise UserError(
            f"train.objective: beta={beta} of jensen_shannon must lie between 0 and 1; at its ends stand the "
            "divergences forward (0) and reverse (1)."
        )
    return partial(jensen_shannon, beta=beta) if name == "jensen_shannon" else DIVERGENCES[name]
