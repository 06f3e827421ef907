"""A weight in 8 bits a number: whole numbers from -127 to 127, and a scale for each row."""

import torch
from jaxtyping import Float, Int8
from torch import Tensor


def quantize_int8(
    weight: Float[Tensor, "d_out d_in"], per_channel: bool = True
) -> tuple[Int8[Tensor, "d_out d_in"], Float[Tensor, "rows 1"]]:
    """The nearest of 255 evenly spaced levels, and the distance between two of them.

    The scale is the largest size over 127: of each row, (d_out, 1), or of the whole weight, (1, 1). Every number is at
    most half a scale off. A row of zeros has the scale 1.
    """
    largest = weight.abs().amax(1, keepdim=True) if per_channel else weight.abs().max().view(1, 1)
    scale = torch.where(largest > 0, largest / 127, torch.ones_like(largest))
    return (weight / scale).round().clamp(-127, 127).to(torch.int8), scale


def dequantize(q: Int8[Tensor, "d_out d_in"], scale: Float[Tensor, "rows 1"]) -> Float[Tensor, "d_out d_in"]:
    """The numbers that the codes stand for, in the scale's dtype."""
    return q.to(scale.dtype) * scale
