"""NF4: 4 bits a number, the levels where normally distributed numbers lie, each block of 64 with a scale of its own
(QLoRA, arXiv 2305.14314, section 3)."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from firsthand.errors import DamagedError
from firsthand.ops.quantized.affine import check_finite, check_tensors

BLOCK = 64

LEVELS = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)
"""Quantiles of the normal distribution, zero among them (appendix E)."""


def quantize(weight: Float[Tensor, "d_out d_in"]) -> tuple[UInt8[Tensor, " pairs"], Float[Tensor, " blocks"]]:
    """The nearest level of each number over the largest of its block, two in a byte, and those largest numbers.

    Blocks run along the rows and over their ends; the last one is filled up with zeros.
    """
    flat = F.pad(weight.detach().float().flatten(), (0, -weight.numel() % BLOCK)).view(-1, BLOCK)
    scales = flat.abs().amax(1)
    levels = torch.tensor(LEVELS, device=weight.device)
    borders = (levels[1:] + levels[:-1]) / 2
    codes = torch.bucketize(flat / scales.clamp_min(torch.finfo(torch.float32).tiny).unsqueeze(1), borders)
    high, low = codes.to(torch.uint8).view(-1, 2).unbind(1)
    return high * 16 + low, scales


def dequantize(
    codes: UInt8[Tensor, " pairs"], scales: Float[Tensor, " blocks"], d_out: int, d_in: int
) -> Float[Tensor, "d_out d_in"]:
    """The numbers that `quantize` has kept, in fp32."""
    table = torch.tensor(list(itertools.product(LEVELS, LEVELS)), device=codes.device)  # of every byte
    blocks = table.index_select(0, codes.int()).view(-1, BLOCK) * scales.unsqueeze(1)
    return blocks.flatten()[: d_out * d_in].view(d_out, d_in)


@dataclass(frozen=True)
class NF4Format:
    """`quantize` and `dequantize` as a format. It has nothing to set."""

    @property
    def bits(self) -> float:
        return 4.0

    def encode(self, weight: Float[Tensor, "d_out d_in"]) -> dict[str, Tensor]:
        check_finite(weight)
        codes, scales = quantize(weight)
        return {"codes": codes, "scales": scales}

    def decode(self, tensors: Mapping[str, Tensor], shape: tuple[int, int]) -> Float[Tensor, "d_out d_in"]:
        return dequantize(tensors["codes"], tensors["scales"], *shape)

    def check(self, tensors: Mapping[str, Tensor], shape: tuple[int, int]) -> None:
        """DamagedError unless `decode` can read these tensors."""
        blocks = -(-shape[0] * shape[1] // BLOCK)
        check_tensors(tensors, {"codes": ((blocks * BLOCK // 2,), torch.uint8), "scales": ((blocks,), torch.float32)})
        if not bool(((tensors["scales"] >= 0) & (tensors["scales"] < torch.inf)).all()):
            raise DamagedError("A weight in few bits has scales that are no sizes. Use another copy.")
