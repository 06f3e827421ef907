"""Ways to slow RoPE's rotation down, so that a trained model can read texts longer than those it was trained on."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Scaled = tuple[Float[Tensor, " half"], float]
"""The new frequencies, and what queries and keys are multiplied by."""


def linear(turns: Float[Tensor, " half"], theta: float, factor: float, trained_length: int) -> Scaled:
    """Position interpolation: every pair turns `factor` times slower (Chen et al. 2023, arXiv 2306.15595)."""
    return turns / factor, 1.0


def ntk(turns: Float[Tensor, " half"], theta: float, factor: float, trained_length: int) -> Scaled:
    """A larger theta: the slowest pair turns `factor` times slower, the fastest as before (arXiv 2309.00071, 3.1)."""
    d_head = 2 * len(turns)
    slowed = theta * factor ** (d_head / (d_head - 2)) if d_head > 2 else theta
    return slowed ** (-torch.arange(0, d_head, 2, dtype=torch.float64) / d_head), 1.0


def yarn(turns: Float[Tensor, " half"], theta: float, factor: float, trained_length: int) -> Scaled:
    """Slow only the pairs that turn less than once in the trained length, and sharpen attention (arXiv 2309.00071).

    Section 3.2: pairs with more than 32 turns stay, those with less than one are interpolated. Between the two the
    paper's ramp is straight in the number of turns; this one is straight in the number of the pair and ends at whole
    pairs, as in the authors' code and in all published weights. Section 3.4: scores are multiplied by
    (0.1 ln factor + 1)².
    """

    def pair_with(rotations: float) -> float:
        """The number of the pair that turns so often in the trained length."""
        return len(turns) * math.log(trained_length / (2 * math.pi * rotations)) / math.log(theta)

    first, last = max(0, math.floor(pair_with(32.0))), min(2 * len(turns) - 1, math.ceil(pair_with(1.0)))
    pairs = torch.arange(len(turns), dtype=torch.float64)
    slowed = ((pairs - first) / max(last - first, 1e-3)).clamp(0, 1)
    return turns * (1 - slowed) + turns / factor * slowed, 0.1 * math.log(factor) + 1 if factor > 1 else 1.0


def llama3(turns: Float[Tensor, " half"], theta: float, factor: float, trained_length: int) -> Scaled:
    """Pairs that turn less than once in the trained length are slowed, those with more than four turns are not.

    Between them the share is straight in the number of turns. It is how Llama 3.1 was extended; no paper states the
    formula, which is that of the published model's code.
    """
    rotations = trained_length * turns / (2 * math.pi)
    kept = ((rotations - 1) / (4 - 1)).clamp(0, 1)
    return turns * kept + turns / factor * (1 - kept), 1.0


SCALINGS: dict[str, Callable[..., Scaled]] = {"linear": linear, "ntk": ntk, "yarn": yarn, "llama3": llama3}
