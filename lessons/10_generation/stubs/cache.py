"""Attention that remembers: keys and values of earlier tokens are kept, not computed again."""

# ruff: noqa: F401 - what is imported here is for the holes below

from dataclasses import dataclass

from torch import Tensor, nn

from firsthand.errors import UserError
from firsthand.model import Position
from firsthand.model.mixers.heads import merge_heads, split_heads
from firsthand.ops.attention.mask import causal_mask
from firsthand.ops.attention.reference import attention
from firsthand.types import Place


@dataclass
class Readable:
    """Given: what new tokens may look at, themselves included. keys and values (batch, n_kv_heads, all, d_head),
    document (batch, all)."""

    keys: Tensor
    values: Tensor
    document: Tensor


def documents(place: Place, batch: int) -> Tensor:
    """Given: the document of each token, (batch, time); -1 is padding. Without any, all are of document 0."""
    rows = place.index if place.document is None else place.document
    return (rows * 0 if place.document is None else rows).expand(batch, -1)


class KVCache:
    """Room for the keys and values of `length` tokens in each of `batch` rows. `like`: a tensor of the right dtype."""

    def __init__(self, batch: int, n_kv_heads: int, length: int, d_key: int, d_value: int, like: Tensor) -> None:
        """Given."""
        self.keys = like.new_zeros(batch, n_kv_heads, length, d_key)
        self.values = like.new_zeros(batch, n_kv_heads, length, d_value)
        self.document = like.new_zeros(batch, length).long()
        self.length = 0  # tokens so far

    def append(self, key: Tensor, value: Tensor, place: Place) -> Readable:
        """Store the new tokens, key and value (batch, n_kv_heads, time, d_head), behind those that are there.

        Returns all tokens so far. UserError if there is no room for the new ones.
        """
        raise NotImplementedError


class CausalSelfAttention(nn.Module):
    """Attention with a cache. `n_kv_heads` heads of keys and values are shared by equal groups of query heads: the
    first n_heads / n_kv_heads query heads read key head 0, and so on. `position` turns queries and keys (see Rope)."""

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        n_kv_heads: int | None = None,
        position: Position | None = None,
        dropout: float = 0.0,
    ) -> None:
        """Given."""
        super().__init__()
        self.n_heads, self.n_kv_heads, self.d_head = n_heads, n_kv_heads or n_heads, d_model // n_heads
        self.position = position or Position()  # Position() turns nothing
        kv_width = self.n_kv_heads * self.d_head
        self.query, self.out = (nn.Linear(d_model, d_model, bias=False) for _ in range(2))
        self.key, self.value = (nn.Linear(d_model, kv_width, bias=False) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def initial_state(self, batch: int, length: int) -> KVCache:
        """An empty cache for `length` tokens in each of `batch` rows, a new one at every call."""
        raise NotImplementedError

    def state_size(self, length: int) -> int:
        """How many numbers, keys and values, a cache for one row of `length` tokens holds."""
        raise NotImplementedError

    def forward(self, x: Tensor, place: Place, state: KVCache | None = None) -> tuple[Tensor, KVCache | None]:
        """x (batch, time, d_model) to (y, state), y of the same shape.

        Without a state the tokens of x are all there is. With one they continue what it has seen, and y is what it
        would be had all tokens been read at once. Query i stands at place.index[..., i], and reads itself and what
        stands before it in its own document: causal_mask(time, all, all - time) & equal documents.
        """
        raise NotImplementedError
