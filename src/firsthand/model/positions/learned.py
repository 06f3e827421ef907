"""Learned positions: one vector for each place in the context (GPT, GPT-2)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from firsthand.model import Position
from firsthand.model.positions.tables import rows


class LearnedPosition(Position):
    """Adds row `index` of a learned table to the embedding. UserError beyond `context_length`."""

    def __init__(self, context_length: int, d_model: int) -> None:
        super().__init__()
        self.context_length = context_length
        self.table = nn.Parameter(torch.randn(context_length, d_model) * 0.02)

    def embed(
        self, x: Float[Tensor, "batch time d_model"], index: Int[Tensor, "rows time"]
    ) -> Float[Tensor, "batch time d_model"]:
        return x + rows(self.table, index)
