"""Weights in few bits: the formats in which they can stand, and the product with one.

To write your own format: a frozen dataclass with `encode(weight) -> tensors`, `decode(tensors, shape) -> weight` and
`check(tensors, shape)`, whose fields are what a plan may set; then a line in each table.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from jaxtyping import Float
from torch import Tensor

from firsthand.ops.quantized.affine import Affine
from firsthand.ops.quantized.int8_rows import Int8Rows
from firsthand.ops.quantized.nf4 import NF4Format
from firsthand.parts import build


class Format(Protocol):
    """How numbers stand in few bits. `bits`: of one number, without what groups of them share."""

    @property
    def bits(self) -> float: ...

    def encode(self, weight: Float[Tensor, "d_out d_in"]) -> dict[str, Tensor]:
        """What a file keeps of the weight, by name."""

    def decode(self, tensors: Mapping[str, Tensor], shape: tuple[int, int]) -> Float[Tensor, "d_out d_in"]:
        """The numbers that stand there, in fp32."""

    def check(self, tensors: Mapping[str, Tensor], shape: tuple[int, int]) -> None:
        """DamagedError unless these are tensors that `decode` can read. Cheap: files from strangers meet it first."""


FORMATS: dict[str, Callable[..., Format]] = {
    "affine": Affine,
    "int8_rows": Int8Rows,
    "nf4": NF4Format,
}
NAMES: dict[type, str] = {Affine: "affine", Int8Rows: "int8_rows", NF4Format: "nf4"}


@dataclass(frozen=True)
class Quantized:
    """A weight in few bits: its format, its shape, and what the format keeps of it."""

    format: Any
    shape: tuple[int, int]
    tensors: dict[str, Tensor]

    @staticmethod
    def of(weight: Float[Tensor, "d_out d_in"], format: Any) -> "Quantized":
        """The weight as the format rounds it by itself, to the nearest."""
        return Quantized(format, (weight.shape[0], weight.shape[1]), format.encode(weight))

    def full(self) -> Float[Tensor, "d_out d_in"]:
        """The numbers that are multiplied with, in fp32."""
        numbers: Tensor = self.format.decode(self.tensors, self.shape)
        return numbers

    @property
    def bytes(self) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())

    def to_json(self) -> dict[str, Any]:
        """Everything but the tensors."""
        return {"part": NAMES[type(self.format)], **asdict(self.format), "shape": list(self.shape)}

    @staticmethod
    def of_json(tree: Mapping[str, Any], tensors: dict[str, Tensor]) -> "Quantized":
        """What `to_json` gave, with its tensors. UserError, TypeError or ValueError for what it never gives."""
        rows, columns = tree["shape"]
        if not all(type(size) is int and size > 0 for size in (rows, columns)):
            raise ValueError(f"[{rows!r:.20}, {columns!r:.20}] is no shape of a weight")
        spec = {key: value for key, value in tree.items() if key != "shape"}
        quantized = Quantized(build("format", FORMATS, spec, files=False), (rows, columns), tensors)
        quantized.format.check(tensors, quantized.shape)
        return quantized
