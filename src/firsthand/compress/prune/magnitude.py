"""Magnitude pruning: the weights nearest to zero become zero (Han et al., arXiv 1506.02626)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def magnitude_mask(weight: Float[Tensor, "d_out d_in"], sparsity: float) -> Bool[Tensor, "d_out d_in"]:
    """True for the weights that stay: all but the `sparsity` · numel of smallest size, rounded to the nearest number.

    Where sizes are equal the earlier weights go, so that exactly so many do.
    """
    count = round(sparsity * weight.numel())
    order = weight.detach().abs().flatten().argsort(stable=True)
    mask = torch.ones(weight.numel(), dtype=torch.bool, device=weight.device)
    mask[order[:count]] = False
    return mask.view_as(weight)
