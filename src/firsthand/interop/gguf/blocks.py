"""Weights in few bits as blocks of a GGUF file: the same codes and scales, so that no number changes.

A block is 32 numbers of a row with a scale in fp16 (ggml's block_q8_0 and block_q4_0, ggml-common.h): scale · code with
codes of 8 bits in Q8_0, scale · (code - 8) with codes of 4 bits in Q4_0.
"""

import torch
from jaxtyping import UInt8
from torch import Tensor

from firsthand.ops.quantized import Quantized
from firsthand.ops.quantized.affine import Affine, unpacked

BLOCK = 32


def kind_of(quantized: Quantized) -> str | None:
    """The type that holds these very numbers; None if GGUF has none."""
    format, d_in = quantized.format, quantized.shape[1]
    if not isinstance(format, Affine) or not format.symmetric or d_in % BLOCK or format.width(d_in) % BLOCK:
        return None
    scales = quantized.tensors["scales"].float()
    if not torch.equal(scales.half().float(), scales):
        return None
    return "Q4_0" if format.bits <= 4 else "Q8_0"


def blocks(quantized: Quantized) -> UInt8[Tensor, "d_out bytes"]:
    """The bytes of a weight that `kind_of` knows."""
    format, (d_out, d_in) = quantized.format, quantized.shape
    repeats = format.width(d_in) // BLOCK
    scales = quantized.tensors["scales"].half().repeat_interleave(repeats, 1)[:, : d_in // BLOCK].contiguous()
    codes = unpacked(quantized.tensors["codes"], format, d_in).view(d_out, -1, BLOCK)
    if format.bits > 4:
        bytes_ = codes.to(torch.int8).view(torch.uint8)
    else:
        lower, upper = (codes + 8).to(torch.uint8).chunk(2, -1)
        bytes_ = lower | (upper << 4)
    return torch.cat((scales.unsqueeze(-1).view(torch.uint8), bytes_), -1).flatten(1)
