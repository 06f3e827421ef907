"""Evenly spaced levels: a number is (code - zero) · scale, where a group of a row's numbers shares scale and zero."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from firsthand.errors import DamagedError, UserError

SCALES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class Affine:
    """`bits` of 2 to 8 a number; `group` numbers of a row share a scale (None: the whole row, "per channel").

    Symmetric: codes are -2^(bits-1) … 2^(bits-1) - 1, zero is 0, and the scale is the group's largest size over
    `reach` (absent: the largest code, so that nothing is cut off; half a code more gives finer steps and cuts the
    largest number off a little). Not symmetric: codes are 0 … 2^bits - 1, and smallest and largest number, zero
    included, take the first and the last. `scales`: the precision of scales, which are rounded before codes are chosen,
    so that a file in that precision loses nothing.
    """

    bits: int = 8
    group: int | None = None
    symmetric: bool = True
    scales: str = "fp16"
    reach: float | None = None

    def __post_init__(self) -> None:
        whole = type(self.bits) is int and (self.group is None or type(self.group) is int)
        reach = self.reach is None or 0 < self.reach < 2.0**16
        fits = whole and reach and 2 <= self.bits <= 8 and (self.group is None or self.group >= 2)
        if not fits or self.scales not in SCALES:
            raise UserError(
                f"No weights can stand in bits={self.bits}, group={self.group}, scales={self.scales}, "
                f"reach={self.reach}: bits are 2 to 8, a group has at least 2 numbers (null: a row), scales are one of "
                f"{', '.join(SCALES)}, and the largest number's code is more than 0."
            )

    @property
    def codes(self) -> tuple[int, int]:
        """The first and the last."""
        half = 2 ** (self.bits - 1)
        return (-half, half - 1) if self.symmetric else (0, 2 * half - 1)

    def encode(self, weight: Float[Tensor, "d_out d_in"]) -> dict[str, Tensor]:
        scales, zeros = self.grid(weight)
        return self.keep(self.nearest(weight, scales, zeros), scales, zeros)

    def decode(self, tensors: Mapping[str, Tensor], shape: tuple[int, int]) -> Float[Tensor, "d_out d_in"]:
        codes = unpacked(tensors["codes"], self, shape[1])
        zeros = tensors.get("zeros")
        return self.values(codes, tensors["scales"].float(), None if zeros is None else zeros.float())

    def check(self, tensors: Mapping[str, Tensor], shape: tuple[int, int]) -> None:
        """DamagedError unless `decode` can read these tensors. It looks at shapes and scales, not at every code."""
        rows, columns = shape
        groups = -(-columns // self.width(columns))
        bytes_ = columns if self.bits > 4 else -(-columns // 2)
        signed = self.bits > 4 and self.symmetric
        expected = {"codes": ((rows, bytes_), torch.int8 if signed else torch.uint8)}
        expected["scales"] = ((rows, groups), SCALES[self.scales])
        if not self.symmetric:
            expected["zeros"] = ((rows, groups), torch.uint8)
        check_tensors(tensors, expected)
        if not bool(((tensors["scales"] > 0) & (tensors["scales"] < torch.inf)).all()):
            raise DamagedError("A weight in few bits has scales that are no sizes. Use another copy.")

    def grid(
        self, weight: Float[Tensor, "d_out d_in"]
    ) -> tuple[Float[Tensor, "d_out groups"], Float[Tensor, "d_out groups"] | None]:
        """Scales and zeros (None if symmetric) of the groups. UserError for numbers that are none, or beyond scales."""
        check_finite(weight)
        groups = self._groups(weight.detach().float())
        first, last = self.codes
        if self.symmetric:
            return self._rounded(groups.abs().amax(-1) / (self.reach or last)), None
        low, high = groups.amin(-1).clamp(max=0.0), groups.amax(-1).clamp(min=0.0)
        scales = self._rounded((high - low) / (last - first))
        return scales, (first - (low / scales).round()).clamp(first, last)

    def nearest(
        self,
        weight: Float[Tensor, "d_out d_in"],
        scales: Float[Tensor, "d_out groups"],
        zeros: Float[Tensor, "d_out groups"] | None,
    ) -> Int[Tensor, "d_out d_in"]:
        """The codes of the nearest levels (halves to even, of the product with 1 / scale, as torchao has it)."""
        codes = (self._groups(weight.detach().float()) * scales.reciprocal().unsqueeze(-1)).round()
        if zeros is not None:
            codes = codes + zeros.unsqueeze(-1)
        return codes.clamp(*self.codes).flatten(1)[:, : weight.shape[1]].to(torch.int16)

    def values(
        self,
        codes: Int[Tensor, "d_out d_in"],
        scales: Float[Tensor, "d_out groups"],
        zeros: Float[Tensor, "d_out groups"] | None,
    ) -> Float[Tensor, "d_out d_in"]:
        """(code - zero) · scale."""
        groups = self._groups(codes.float())
        if zeros is not None:
            groups = groups - zeros.unsqueeze(-1)
        return (groups * scales.unsqueeze(-1)).flatten(1)[:, : codes.shape[1]]

    def keep(
        self,
        codes: Int[Tensor, "d_out d_in"],
        scales: Float[Tensor, "d_out groups"],
        zeros: Float[Tensor, "d_out groups"] | None,
    ) -> dict[str, Tensor]:
        """The tensors of a file."""
        kept = {"codes": packed(codes, self), "scales": scales.to(SCALES[self.scales])}
        return kept if zeros is None else {**kept, "zeros": zeros.to(torch.uint8)}

    def width(self, d_in: int) -> int:
        """Numbers in a group of rows of `d_in`."""
        return d_in if self.group is None else min(self.group, d_in)

    def _groups(self, rows: Tensor) -> Float[Tensor, "d_out groups width"]:
        """The last group of a row is filled up with zeros."""
        width = self.width(rows.shape[1])
        groups = -(-rows.shape[1] // width)
        return F.pad(rows, (0, -rows.shape[1] % width)).reshape(len(rows), groups, width)

    def _rounded(self, scales: Tensor) -> Tensor:
        """As the file keeps them; 1 for a group of zeros. The smallest are rounded up: down would cut off much."""
        kind = torch.finfo(SCALES[self.scales])
        short = scales.to(SCALES[self.scales]).float()
        if bool(short.isinf().any()):
            raise UserError(f"A weight has numbers whose scales are beyond {self.scales}. Write scales: fp32.")
        short = torch.where(scales > short * (1 + kind.eps), short + kind.tiny * kind.eps, short)
        return torch.where(short > 0, short, torch.ones_like(short))


def check_finite(weight: Tensor) -> None:
    """UserError if a number is NaN or infinite."""
    if not bool(torch.isfinite(weight).all()):
        raise UserError("A weight with numbers that are not finite cannot be rounded. Use an earlier checkpoint.")


def check_tensors(tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[tuple[int, ...], torch.dtype]]) -> None:
    """DamagedError unless they are these, with these shapes and dtypes."""
    found = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            raise DamagedError(
                f"A weight in few bits has {_shown(found.get(name))} as its {name}; its format needs "
                f"{_shown(expected.get(name))}. Use another copy."
            )


def _shown(what: tuple[tuple[int, ...], torch.dtype] | None) -> str:
    return "nothing" if what is None else f"{list(what[0])} of {what[1]}"


def packed(codes: Int[Tensor, "d_out d_in"], format: Any) -> Tensor:
    """Codes of more than 4 bits a byte each; others two in a byte, the first one in the lower half."""
    if format.bits > 4:
        return codes.to(torch.int8 if format.symmetric else torch.uint8)
    pairs = F.pad(codes - format.codes[0], (0, codes.shape[1] % 2)).to(torch.uint8)
    pairs = pairs.view(len(pairs), -1, 2)
    return pairs[..., 0] | (pairs[..., 1] << 4)


def unpacked(codes: Tensor, format: Any, d_in: int) -> Int[Tensor, "d_out d_in"]:
    """What `packed` has packed."""
    if format.bits > 4:
        return codes.to(torch.int16)
    pairs = torch.stack((codes & 15, codes >> 4), -1).flatten(1)[:, :d_in]
    first: int = format.codes[0]
    return pairs.to(torch.int16) + first
