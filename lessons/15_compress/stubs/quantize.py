"""A weight in 8 bits a number: whole numbers from -127 to 127, and a scale for each row."""

from torch import Tensor


def quantize_int8(weight: Tensor, per_channel: bool = True) -> tuple[Tensor, Tensor]:
    """(d_out, d_in) to codes (d_out, d_in), torch.int8, and scales, so that codes · scales is as near as it can be.

    A scale is the largest size over 127: one for each row, (d_out, 1), or one for the whole weight, (1, 1). A code is
    the nearest whole number to weight / scale. A row of zeros has the scale 1.
    """
    raise NotImplementedError


def dequantize(q: Tensor, scale: Tensor) -> Tensor:
    """The numbers that the codes stand for, (d_out, d_in), in the scale's dtype."""
    raise NotImplementedError
