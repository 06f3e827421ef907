"""Sinusoidal positions: fixed waves of falling frequency ("Attention is all you need", 3.5)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from firsthand.errors import UserError
from firsthand.model import Position
from firsthand.model.positions.tables import rows


def sinusoidal(length: int, d_model: int) -> Float[Tensor, "length d_model"]:
    """sin(index / 10000^(2i / d_model)) in the even columns 2i, cos in the odd ones 2i + 1."""
    frequencies = 10000.0 ** (-torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * frequencies
    waves = torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)
    return waves[:, :d_model].float()


class SinusoidalPosition(Position):
    """Adds the waves to the embedding."""

    table: Tensor

    def __init__(self, context_length: int, d_model: int) -> None:
        super().__init__()
        if d_model < 2:
            raise UserError(f"Sinusoidal positions need at least 2 columns, not d_model = {d_model}.")
        self.context_length = context_length
        self.register_buffer("table", sinusoidal(context_length, d_model), persistent=False)

    def embed(
        self, x: Float[Tensor, "batch time d_model"], index: Int[Tensor, "rows time"]
    ) -> Float[Tensor, "batch time d_model"]:
        return x + rows(self.table, index).to(x.dtype)
