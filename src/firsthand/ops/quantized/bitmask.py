"""A weight most of whose numbers are zero: a bit for each, and those that are not."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from firsthand.errors import DamagedError, UserError

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
        bits = (tensors["mask"].unsqueeze(1) >> torch.arange(8, dtype=torch.uint8)) & 1
        there = bits.flatten()[: shape[0] * shape[1]].bool()
        if int(there.sum()) != len(tensors["values"]):
            raise DamagedError("A sparse weight has another number of values than its mask says. Use another copy.")
        full = torch.zeros(shape[0] * shape[1])
        full[there] = tensors["values"].float()
        return full.view(shape)
