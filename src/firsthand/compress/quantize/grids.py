"""Where the levels of a group should lie: a little cut off at the ends can make all steps finer."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from firsthand.ops.quantized.affine import Affine

SHARES = tuple(1.0 - 0.025 * number for number in range(17))
"""Of a group's range, from all of it to 0.6."""


def best_grid(
    format: Affine, weight: Float[Tensor, "d_out d_in"], importance: Float[Tensor, " d_in"]
) -> tuple[Float[Tensor, "d_out groups"], Float[Tensor, "d_out groups"] | None]:
    """Of each group the scale (and zero) that make Σ importance · (rounded - w)² smallest, of the ranges in SHARES.

    The search over cut-off ranges that GPTQ's and AWQ's authors have in their code; the importance of a channel is what
    its input weighs, the diagonal of Xᵀ X.
    """
    scales, zeros = format.grid(weight)
    width, least = format.width(weight.shape[1]), torch.full_like(scales, float("inf"))
    for share in SHARES:
        some, some_zeros = format.grid(share * weight)
        error = format.values(format.nearest(weight, some, some_zeros), some, some_zeros) - weight.float()
        weighed = F.pad(error.square() * importance.float(), (0, -weight.shape[1] % width))
        cost = torch.unflatten(weighed, 1, (-1, width)).sum(-1)
        better = cost < least
        least = torch.where(better, cost, least)
        scales = torch.where(better, some, scales)
        if zeros is not None and some_zeros is not None:
            zeros = torch.where(better, some_zeros, zeros)
    return scales, zeros
