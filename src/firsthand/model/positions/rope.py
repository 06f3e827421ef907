"""Rotary positions: turn queries and keys by an angle that grows with the position (RoFormer, arXiv 2104.09864)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from firsthand.errors import UserError
from firsthand.model import Position
from firsthand.model.positions.tables import rows


def frequencies(d_head: int, theta: float = 10000.0) -> Float[Tensor, "half"]:
    """Radians per position of each pair of channels: theta^(-2i / d_head), section 3.2.2."""
    return theta ** (-torch.arange(0, d_head, 2, dtype=torch.float64) / d_head)


class Rope(Position):
    """Rotates channel i with channel i + d_head/2 (the "half" layout of Llama and its kin).

    After it the score of a query and a key depends on how far apart they stand, not on where.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, d_head: int, theta: float = 10000.0, context_length: int = 2048) -> None:
        super().__init__()
        if d_head % 2:
            raise UserError(
                f"RoPE turns pairs of channels, so d_head must be even, not {d_head}. Change model.n_heads."
            )
        angles = torch.arange(context_length, dtype=torch.float64)[:, None] * frequencies(d_head, theta)
        self.register_buffer("cos", angles.cos().float(), persistent=False)
        self.register_buffer("sin", angles.sin().float(), persistent=False)

    def rotate(
        self, heads: Float[Tensor, "batch heads time d_head"], index: Int[Tensor, "rows time"]
    ) -> Float[Tensor, "batch heads time d_head"]:
        cos = rows(self.cos, index).unsqueeze(1).to(heads.dtype)
        sin = rows(self.sin, index).unsqueeze(1).to(heads.dtype)
        left, right = heads.chunk(2, dim=-1)
        return torch.cat((left * cos - right * sin, right * cos + left * sin), dim=-1)
