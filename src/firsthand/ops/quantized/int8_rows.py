"""8 bits a number and a scale a row, for products in which the input is rounded to 8 bits as well."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from firsthand.ops.quantized.affine import Affine


@dataclass(frozen=True)
class Int8Rows:
    """Affine with 8 bits, symmetric, a scale a row: codes are -127 … 127. `scales`: their precision.

    A linear map with a weight in this format multiplies whole numbers (model/quantized.py, Int8Linear).
    """

    scales: str = "fp16"

    def __post_init__(self) -> None:
        self.affine  # noqa: B018, it refuses a wrong precision

    @property
    def affine(self) -> Affine:
        return Affine(8, None, True, self.scales)

    @property
    def bits(self) -> float:
        return 8.0

    def encode(self, weight: Float[Tensor, "d_out d_in"]) -> dict[str, Tensor]:
        return self.affine.encode(weight)

    def decode(self, tensors: Mapping[str, Tensor], shape: tuple[int, int]) -> Float[Tensor, "d_out d_in"]:
        return self.affine.decode(tensors, shape)

    def check(self, tensors: Mapping[str, Tensor], shape: tuple[int, int]) -> None:
        self.affine.check(tensors, shape)
