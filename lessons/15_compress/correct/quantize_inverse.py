"""Multiplied by the levels in one unit, and not divided by the distance between two."""

import torch
from torch import Tensor


def quantize_int8(weight: Tensor, per_channel: bool = True) -> tuple[Tensor, Tensor]:
    size = torch.linalg.vector_norm(weight, ord=torch.inf, dim=1 if per_channel else (0, 1), keepdim=True)
    size = size.masked_fill(size == 0, 127.0)
    return torch.clamp(torch.round(weight * (127.0 / size)), min=-127, max=127).char(), size / 127.0


def dequantize(q: Tensor, scale: Tensor) -> Tensor:
    return torch.mul(q, scale)
