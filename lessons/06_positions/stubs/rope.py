"""Rotary positions: queries and keys are turned by an angle that grows with their place."""

from torch import Tensor

from firsthand.model import Position


def frequencies(d_head: int, theta: float = 10000.0) -> Tensor:
    """Radians that pair i of the channels turns from one place to the next, theta^(-2i / d_head): (d_head / 2,)."""
    raise NotImplementedError


class Rope(Position):
    """Turns pair i of a head, the channels (2i, 2i + 1), by the angle index · frequency i. It has no parameters."""

    def __init__(self, d_head: int, theta: float = 10000.0) -> None:
        super().__init__()
        raise NotImplementedError

    def rotate(self, heads: Tensor, index: Tensor) -> Tensor:
        """heads (batch, n_heads, time, d_head), queries or keys, to the same shape and dtype.

        index (rows, time), int64: where each token stands; rows is batch, or 1 if it is the same for all.
        A pair (a, b) becomes (a cos - b sin, a sin + b cos). Compute angles in float32 or better.
        """
        raise NotImplementedError
