"""ALiBi: a penalty on attention scores that grows with the distance (Press et al. 2022, arXiv 2108.12409)."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from firsthand.model import Position


def slopes(n_heads: int) -> Float[Tensor, " heads"]:
    """The penalty per token of distance for each head: 2^(-8/n), 2^(-16/n) … 2^(-8), section 3.

    If n is no power of two: those of the power below it, then every other one of the power above it (appendix B.2 and
    the authors' code).
    """
    below = 2 ** math.floor(math.log2(n_heads))
    exponents = [-8 * (i + 1) / below for i in range(below)]
    exponents += [-4 * (2 * i + 1) / below for i in range(n_heads - below)]
    return torch.tensor([2**exponent for exponent in exponents])


class ALiBi(Position):
    """Nothing is added to the embedding and nothing is turned: score - slope · distance. Any length will do."""

    slopes: Tensor

    def __init__(self, n_heads: int) -> None:
        super().__init__()
        self.register_buffer("slopes", slopes(n_heads), persistent=False)

    def bias(
        self, query_index: Int[Tensor, "query_rows query"], key_index: Int[Tensor, "key_rows key"]
    ) -> Float[Tensor, "rows heads query key"]:
        distance = (query_index[:, :, None] - key_index[:, None, :]).abs()
        return -self.slopes[:, None, None] * distance[:, None]
