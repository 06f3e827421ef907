"""Rotary positions: turn queries and keys by an angle that grows with the position (RoFormer, arXiv 2104.09864)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from firsthand.errors import UserError, suggest
from firsthand.model import Position
from firsthand.model.positions.scaling import SCALINGS
from firsthand.model.positions.tables import rows
from firsthand.ops.rotate import LAYOUTS, rotate, turns_of


def frequencies(d_head: int, theta: float = 10000.0) -> Float[Tensor, " half"]:
    """Radians per position of each pair of channels: theta^(-2i / d_head), section 3.2.2."""
    return theta ** (-torch.arange(0, d_head, 2, dtype=torch.float64) / d_head)


class Rope(Position):
    """After the rotation, the score of a query and a key depends on how far apart they stand, not on where.

    `layout` says which channels make a pair: "interleaved" neighbours as in the paper, or "half" (i and i + d_head/2)
    as in Llama's weights on Hugging Face. They learn equally well; weights are converted by reordering channels.

    `scaling` (one of SCALINGS) stretches what was trained on `trained_length` tokens to `factor` times as many; by
    default `trained_length` is context_length / factor.
    """

    turns: Tensor

    def __init__(
        self,
        d_head: int,
        theta: float = 10000.0,
        context_length: int = 2048,
        layout: str = "interleaved",
        scaling: str | None = None,
        factor: float = 1.0,
        trained_length: int | None = None,
    ) -> None:
        super().__init__()
        if d_head % 2:
            raise UserError(f"RoPE turns pairs of channels: d_head must be even, not {d_head}. Change model.n_heads.")
        if layout not in LAYOUTS:
            raise UserError(f"RoPE has no layout {layout!r}. {suggest(layout, LAYOUTS)}")
        if scaling is not None and scaling not in SCALINGS:
            raise UserError(f"RoPE has no scaling {scaling!r}. {suggest(scaling, SCALINGS)}")
        if factor < 1 or (factor > 1 and scaling is None):
            raise UserError(
                f"RoPE: factor = {factor} must be at least 1, and a factor above 1 needs a scaling "
                f"({', '.join(SCALINGS)})."
            )
        self.context_length = context_length
        self.layout = layout
        speed, gain = frequencies(d_head, theta), 1.0
        if scaling is not None:
            length = trained_length or max(1, round(context_length / factor))
            speed, gain = SCALINGS[scaling](speed, float(theta), float(factor), length)
        angles = torch.arange(context_length, dtype=torch.float64)[:, None] * speed
        turns = gain * turns_of(angles.cos(), angles.sin(), layout)
        self.register_buffer("turns", turns.float(), persistent=False)

    def rotate(
        self, heads: Float[Tensor, "batch heads time d_head"], index: Int[Tensor, "rows time"]
    ) -> Float[Tensor, "batch heads time d_head"]:
        return rotate(heads, rows(self.turns, index).unsqueeze(1), self.layout)
