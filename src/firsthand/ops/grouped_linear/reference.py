"""A linear map for each group of rows, as it is defined."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def grouped_linear(
    x: Float[Tensor, "rows d_in"], weight: Float[Tensor, "groups d_out d_in"], counts: Int[Tensor, " groups"]
) -> Float[Tensor, "rows d_out"]:
    """Row r of x times the matrix of its group; the first counts[0] rows are group 0, the next counts[1] group 1 …"""
    group = torch.repeat_interleave(torch.arange(len(weight)), counts)
    return torch.stack([weight[g] @ row for g, row in zip(group, x, strict=True)]) if len(x) else x @ weight[0].t()
