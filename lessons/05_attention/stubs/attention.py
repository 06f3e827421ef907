"""Causal self-attention: every token looks up what earlier tokens offer, in several heads at once."""

from torch import Tensor, nn

from firsthand.learn.replay import Replay, same_document  # noqa: F401 - for your forward
from firsthand.ops.attention.mask import causal_mask  # noqa: F401 - or your own: from mask import causal_mask
from firsthand.ops.attention.reference import attention  # noqa: F401 - or your own: from lookup import attention
from firsthand.types import Place


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    """(batch, time, n_heads · d_head) to (batch, n_heads, time, d_head); the first d_head channels are head 0's."""
    raise NotImplementedError


def merge_heads(heads: Tensor) -> Tensor:
    """(batch, n_heads, time, d_head) to (batch, time, n_heads · d_head): what split_heads undoes."""
    raise NotImplementedError


class CausalSelfAttention(nn.Module):
    """Four linear maps without bias, each (d_model, d_model), called query, key, value and out.

    query, key and value are split into heads, each head attends for itself, the heads are merged, and out mixes them.
    `dropout` acts on the output, in training only.
    """

    def __init__(self, d_model: int, n_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        raise NotImplementedError

    def initial_state(self, batch: int, length: int) -> Replay:
        """Given: what is remembered while text is written. A later lesson puts a cache in its place."""
        return Replay(batch, length, self.query.weight)

    def state_size(self, length: int) -> int:
        """Given: how many numbers that is for a row."""
        return length * self.query.weight.shape[1]

    def forward(self, x: Tensor, place: Place, state: Replay | None = None) -> tuple[Tensor, Replay | None]:
        """x (batch, time, d_model) to (y, state), y of the same shape.

        A token reads itself and earlier tokens of its own document: causal_mask(time, time) & same_document(place).
        """
        if state is not None:  # given
            return state.replay(self, x, place)
        raise NotImplementedError
