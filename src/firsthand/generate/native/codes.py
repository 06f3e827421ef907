"""A weight in few bits as the machine reads it: codes in the order of its instructions, and products with them."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from firsthand.generate.native.library import Instruction, Unavailable, library
from firsthand.ops.quantized import Quantized
from firsthand.ops.quantized.affine import Affine, unpacked
from firsthand.ops.quantized.nf4 import BLOCK, LEVELS, NF4Format

UNIT = 32
"""As in few_bits.h: groups of a row begin at a unit."""
PAIR = 2 * UNIT
FORMATS = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
INT8, INT4 = 3, 4
"""As in step.c."""
FINEST = 32767.0
"""Levels that are no whole numbers are rounded to 16 bits."""


@dataclass(frozen=True)
class Codes:
    """x Wᵀ where a number of W is (code - zero) · scale, or (levels[code] - zero) · scale for 4 bits.

    `packed`: a byte for each number, or for two; rows are filled up to PAIRs. `group`: numbers of a row that share a
    scale, whole UNITs. `levels` are multiples of `step`.
    """

    shape: tuple[int, int]
    packed: Tensor
    scales: Float[Tensor, "d_out groups"]
    zeros: Tensor | None
    levels: Tensor | None
    group: int
    step: float = 1.0

    def rows(self, which: Any) -> "Codes":
        """Some of the rows: a slice of them, in the same memory, or those of a tensor of numbers."""
        packed, zeros = self.packed[which], None if self.zeros is None else self.zeros[which]
        shape = (len(packed), self.shape[1])
        return Codes(shape, packed, self.scales[which], zeros, self.levels, self.group, self.step)

    def instruction(self, kind: int, bias: Tensor | None = None, **fields: Any) -> Instruction:
        """A product with this weight, or a row of it. `bias` in fp32, kept alive by the caller."""
        tensors = {
            "weight": self.packed,
            "scales": self.scales,
            "zeros": self.zeros,
            "levels": self.levels,
            "bias": bias,
        }
        pointers = {name: None if tensor is None else tensor.data_ptr() for name, tensor in tensors.items()}
        form = {"format": INT8 if self.levels is None else INT4, "narrow": FORMATS[self.scales.dtype], "b": self.step}
        sizes = {"m": self.shape[1], "per": -(-self.group // UNIT), "groups": self.scales.shape[1]}
        return Instruction(kind=kind, **pointers, **form, **sizes, **fields)

    def multiply(
        self, x: Float[Tensor, "*rows d_in"], bias: Float[Tensor, " d_out"] | None = None
    ) -> Float[Tensor, "*rows d_out"]:
        """One row or a few. Sums are fp32, whatever the precision of x and of the answer."""
        whole = x.reshape(-1, self.shape[1]).float().contiguous()
        bias = None if bias is None else bias.float()
        y, op = torch.empty(len(whole), self.shape[0]), self.instruction(0, bias, n=self.shape[0])
        threads, widest = torch.get_num_threads(), room(self.shape[1])
        apart = torch.empty(threads * len(whole) * widest)
        pointers = (whole.data_ptr(), y.data_ptr(), apart.data_ptr())
        library().multiply(ctypes.byref(op), *pointers, len(whole), widest, threads)
        return y.to(x.dtype).view(*x.shape[:-1], -1)

    def unfold(self, dtype: torch.dtype) -> Float[Tensor, "d_out d_in"]:
        """The weight in full, in fp32 or bf16."""
        full, threads = torch.empty(self.shape, dtype=dtype), torch.get_num_threads()
        apart, op = torch.empty(threads * self.shape[1]), self.instruction(0, n=self.shape[0])
        half = dtype == torch.bfloat16
        library().unfold(ctypes.byref(op), full.data_ptr(), apart.data_ptr(), half, threads)
        return full


def room(d_in: int) -> int:
    """Floats that a product sets aside for its input."""
    return -(-d_in // PAIR) * PAIR


def codes_of(quantized: Quantized) -> Codes:
    """The weight as the machine reads it. Unavailable says why it cannot."""
    library()
    format, (d_out, d_in) = quantized.format, quantized.shape
    if not isinstance(format, Affine | NF4Format):
        raise Unavailable(f"{type(format).__name__} has no instruction")
    scales = quantized.tensors["scales"].contiguous()
    if scales.device.type != "cpu":
        raise Unavailable("the weight is not on a CPU")
    if isinstance(format, NF4Format):
        if d_in % BLOCK:
            raise Unavailable(f"blocks of {BLOCK} run over the ends of rows of {d_in}")
        bytes_ = quantized.tensors["codes"].view(d_out, -1)
        numbers = torch.stack((bytes_ >> 4, bytes_ & 15), -1).flatten(1)
        scales = scales.view(d_out, -1)
        return Codes((d_out, d_in), _pairs(numbers), scales, None, torch.tensor(LEVELS), BLOCK, 1 / FINEST)
    group = format.width(d_in)
    if group % UNIT and group != d_in:
        raise Unavailable(f"groups of {group} are no whole units of {UNIT}")
    codes, zeros, first = quantized.tensors["codes"], quantized.tensors.get("zeros"), format.codes[0]
    levels: Tensor | None = None
    if format.bits <= 4:
        codes = _pairs((unpacked(codes, format, d_in) - first).to(torch.uint8))
        levels = torch.arange(16.0) + first
    elif zeros is not None:  # bytes without a sign become bytes with one
        codes, zeros = (codes.to(torch.int16) - 128).to(torch.int8), zeros.to(torch.int16) - 128
    zeros = None if zeros is None else zeros.to(torch.int16)
    packed = codes if levels is not None else _filled(codes).contiguous()
    if group <= UNIT or (group % PAIR and group != d_in):  # units are multiplied in pairs, or each for itself
        scales = _each_unit(scales, group, d_in)
        zeros = None if zeros is None else _each_unit(zeros, group, d_in)
        group = min(group, UNIT)
    return Codes((d_out, d_in), packed, scales, zeros, levels, group)


def alike(parts: Sequence[Codes]) -> bool:
    """Whether the weights stand in the same way, so that they can be joined."""
    ways = {(each.shape[1], each.group, each.step, each.scales.dtype, each.zeros is None) for each in parts}
    levels = {None if each.levels is None else tuple(each.levels.tolist()) for each in parts}
    return len(ways) == len(levels) == 1


def joined(parts: Sequence[Codes]) -> Codes:
    """Weights that are alike, one below the other."""
    first = parts[0]
    zeros = None if first.zeros is None else torch.cat([each.zeros for each in parts if each.zeros is not None])
    shape = (sum(each.shape[0] for each in parts), first.shape[1])
    packed, scales = torch.cat([each.packed for each in parts]), torch.cat([each.scales for each in parts])
    return Codes(shape, packed, scales, zeros, first.levels, first.group, first.step)


def _filled(rows: Tensor, multiple: int = PAIR) -> Tensor:
    """Rows filled up to whole multiples; as they are where they have them."""
    missing = -rows.shape[1] % multiple
    return F.pad(rows, (0, missing)) if missing else rows


def _each_unit(groups: Tensor, group: int, d_in: int) -> Tensor:
    """What each unit of a row has of its group's, filled up to pairs."""
    units = groups.repeat_interleave(max(1, group // UNIT), 1)[:, : -(-d_in // UNIT)]
    return _filled(units, 2).contiguous()


def _pairs(numbers: Tensor) -> Tensor:
    """Two in a byte: of each pair of units the first one in the lower halves."""
    lower, upper = _filled(numbers).reshape(len(numbers), -1, 2, UNIT).unbind(2)
    packed: Tensor = (lower | (upper << 4)).flatten(1).contiguous()
    return packed
