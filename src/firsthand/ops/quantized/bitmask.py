"""A weight most of whose numbers are zero: a bit for each, and those that are not."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from firsthand.errors import DamagedError, UserError
from firsthand.ops.quantized.affine import check_tensors

VALUES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Bitmask:
    """`values`: the precision of the numbers that are not zero. It saves bytes in a file, not time: products need the
    weight in full."""

    values: str = "fp32"

    def __post_init__(self) -> None:
        if self.values not in VALUES:
            raise UserError(f"values={self.values!r} is no precision to keep numbers in: {', '.join(VALUES)}.")

    @property
    def bits(self) -> float:
        """Of a number that is not zero."""
        return 1.0 + 8 * VALUES[self.values].itemsize

    def encode(self, weight: Float[Tensor, "d_out d_in"]) -> dict[str, Tensor]:
        flat = weight.detach().to(VALUES[self.values]).flatten()
        there = flat != 0
        bits = F.pad(there, (0, -len(there) % 8)).view(-1, 8).to(torch.uint8)
        return {"mask": (bits << torch.arange(8, dtype=torch.uint8)).sum(1).to(torch.uint8), "values": flat[there]}

    def decode(self, tensors: Mapping[str, Tensor], shape: tuple[int, int]) -> Float[Tensor, "d_out d_in"]:
        there = self._there(tensors)[: shape[0] * shape[1]]
        full = torch.zeros(shape[0] * shape[1])
        full[there] = tensors["values"].float()
        return full.view(shape)

    def check(self, tensors: Mapping[str, Tensor], shape: tuple[int, int]) -> None:
        """DamagedError unless `decode` can read these tensors."""
        count, kept = shape[0] * shape[1], tensors.get("values", torch.empty(0)).shape
        values = (kept if len(kept) == 1 else (-1,), VALUES[self.values])
        check_tensors(tensors, {"mask": ((-(-count // 8),), torch.uint8), "values": values})
        there = self._there(tensors)
        if bool(there[count:].any()) or int(there.sum()) != kept[0]:
            raise DamagedError("A sparse weight has another number of values than its mask says. Use another copy.")

    def _there(self, tensors: Mapping[str, Tensor]) -> Bool[Tensor, " numbers"]:
        """For each number, and for what fills up the last byte, whether it is kept."""
        return ((tensors["mask"].unsqueeze(1) >> torch.arange(8, dtype=torch.uint8)) & 1).flatten().bool()
