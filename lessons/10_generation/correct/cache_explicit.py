"""Every step of a cache in sight. The slips of `kv_cache` are edits of this file."""

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
    keys: Tensor
    values: Tensor
    document: Tensor


def documents(place: Place, batch: int) -> Tensor:
    rows = place.index if place.document is None else place.document
    return (rows * 0 if place.document is None else rows).expand(batch, -1)


class KVCache:
    def __init__(self, batch: int, n_kv_heads: int, length: int, d_key: int, d_value: int, like: Tensor) -> None:
        self.keys = like.new_zeros(batch, n_kv_heads, length, d_key)
        self.values = like.new_zeros(batch, n_kv_heads, length, d_value)
        self.document = like.new_zeros(batch, length).long()
        self.length = 0

    def append(self, key: Tensor, value: Tensor, place: Place) -> Readable:
        start = self.length
        end = start + key.shape[2]
        if end > self.keys.shape[2]:
            raise UserError(f"There is room for {self.keys.shape[2]} tokens, and this would be token {end}.")
        self.keys[:, :, start:end] = key
        self.values[:, :, start:end] = value
        self.document[:, start:end] = documents(place, len(key))
        self.length = end
        return Readable(self.keys[:, :, :end], self.values[:, :, :end], self.document[:, :end])


class CausalSelfAttention(nn.Module):
    def __init__(
        self,
        d_model: int,
        n_heads: int,
        n_kv_heads: int | None = None,
        position: Position | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.n_heads, self.n_kv_heads, self.d_head = n_heads, n_kv_heads or n_heads, d_model // n_heads
        self.position = position or Position()
        kv_width = self.n_kv_heads * self.d_head
        self.query, self.out = (nn.Linear(d_model, d_model, bias=False) for _ in range(2))
        self.key, self.value = (nn.Linear(d_model, kv_width, bias=False) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def initial_state(self, batch: int, length: int) -> KVCache:
        return KVCache(batch, self.n_kv_heads, length, self.d_head, self.d_head, self.key.weight)

    def state_size(self, length: int) -> int:
        return 2 * self.n_kv_heads * self.d_head * length

    def forward(self, x: Tensor, place: Place, state: KVCache | None = None) -> tuple[Tensor, KVCache | None]:
        index = place.index
        query = split_heads(self.query(x), self.n_heads)
        key = split_heads(self.key(x), self.n_kv_heads)
        value = split_heads(self.value(x), self.n_kv_heads)
        turned = self.position.rotate(key, index)
        query = self.position.rotate(query, index)
        own = documents(place, len(x))
        reads = Readable(turned, value, own) if state is None else state.append(turned, value, place)
        keys, values = reads.keys, reads.values
        time, total = x.shape[1], keys.shape[2]
        order = causal_mask(time, total, total - time)
        visible = order & (own[:, None, :, None] == reads.document[:, None, None, :])
        group = self.n_heads // self.n_kv_heads
        keys, values = keys.repeat_interleave(group, 1), values.repeat_interleave(group, 1)
        y = self.out(merge_heads(attention(query, keys, values, visible)))
        return self.dropout(y), state
