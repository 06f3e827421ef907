"""Absolute positions: every place has a vector, which is added to the token's.

rows(table, index) in firsthand.model.positions.tables is table[index], and beyond the end of the table a UserError that
says how long the context is.
"""

from torch import Tensor

from firsthand.model import Position


class SinusoidalPosition(Position):
    """A vector of waves for each place, which is made once and not learnt: no parameter.

    Place n, channel 2i: sin(n / 10000^(2i / d_model)); channel 2i + 1: cos of the same angle. An odd d_model ends with
    a sine that has no cosine beside it.
    """

    def __init__(self, context_length: int, d_model: int) -> None:
        super().__init__()
        self.context_length = context_length  # given: how many places there are
        raise NotImplementedError

    def embed(self, x: Tensor, index: Tensor) -> Tensor:
        """x (batch, time, d_model) plus the waves of each token's place; index as below. UserError beyond the table."""
        raise NotImplementedError


class LearnedPosition(Position):
    """A learnt vector for each place: one parameter, `table` (context_length, d_model), drawn small (0.02).

    Position gives what a position scheme may also do: turn queries and keys, and add to scores. This one does not.
    """

    def __init__(self, context_length: int, d_model: int) -> None:
        super().__init__()
        self.context_length = context_length  # given: how many places there are
        raise NotImplementedError

    def embed(self, x: Tensor, index: Tensor) -> Tensor:
        """x (batch, time, d_model) plus the vector of each token's place.

        index (rows, time), int64: where each token stands, from 0 on; rows is batch, or 1 if it is the same for all.
        UserError, which names context_length, if a token stands beyond the table.
        """
        raise NotImplementedError
