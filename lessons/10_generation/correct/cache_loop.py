"""Query after query, each reading the slots up to its own; the library's attention; a cache of time-major tensors."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from firsthand.errors import UserError
from firsthand.model import Position
from firsthand.types import Place


class KVCache:
    def __init__(self, batch: int, n_kv_heads: int, length: int, d_key: int, d_value: int, like: Tensor) -> None:
        self.tokens = [torch.zeros(length, batch, n_kv_heads, d, dtype=like.dtype) for d in (d_key, d_value)]
        self.document = torch.full((length, batch), -2)
        self.used = 0

    @property
    def keys(self) -> Tensor:
        return self.tokens[0][: self.used].permute(1, 2, 0, 3)

    @property
    def values(self) -> Tensor:
        return self.tokens[1][: self.used].permute(1, 2, 0, 3)

    def append(self, key: Tensor, value: Tensor, place: Place) -> "KVCache":
        for t in range(key.shape[2]):
            if self.used == len(self.document):
                raise UserError(f"The cache is full: it was made for {self.used} tokens. Ask for more.")
            self.tokens[0][self.used], self.tokens[1][self.used] = key[:, :, t], value[:, :, t]
            self.document[self.used] = 0 if place.document is None else place.document[:, t]
            self.used += 1
        return self


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
        n_kv_heads = n_kv_heads or n_heads
        self.sizes = (n_heads, n_kv_heads, d_model // n_heads)
        self.position = position or Position()
        self.query = nn.Linear(d_model, d_model, False)
        self.key = nn.Linear(d_model, n_kv_heads * self.sizes[2], False)
        self.value = nn.Linear(d_model, n_kv_heads * self.sizes[2], False)
        self.out = nn.Linear(d_model, d_model, False)
        self.dropout = nn.Dropout(dropout)

    def initial_state(self, batch: int, length: int) -> KVCache:
        return KVCache(batch, self.sizes[1], length, self.sizes[2], self.sizes[2], self.out.weight)

    def state_size(self, length: int) -> int:
        return 2 * length * self.sizes[1] * self.sizes[2]

    def heads(self, x: Tensor, n: int) -> Tensor:
        return torch.stack(x.chunk(n, -1), 1)

    def forward(self, x: Tensor, place: Place, state: KVCache | None = None) -> tuple[Tensor, KVCache | None]:
        n_heads, n_kv_heads, _ = self.sizes
        q = self.position.rotate(self.heads(self.query(x), n_heads), place.index)
        k = self.position.rotate(self.heads(self.key(x), n_kv_heads), place.index)
        v = self.heads(self.value(x), n_kv_heads)
        cache = self.initial_state(*x.shape[:2]) if state is None else state
        if state is None:
            cache.tokens = [one.to(x.dtype) for one in cache.tokens]
        before = cache.used
        cache.append(k, v, place)
        keys, values = cache.keys, cache.values
        owner = torch.arange(n_heads) // (n_heads // n_kv_heads)
        keys, values = keys[:, owner], values[:, owner]
        found = []
        for t in range(x.shape[1]):
            upto = before + t + 1
            same = (cache.document[:upto] == cache.document[upto - 1]).T[:, None, None, :].expand(len(x), -1, -1, -1)
            one = F.scaled_dot_product_attention(q[:, :, t : t + 1], keys[:, :, :upto], values[:, :, :upto], same)
            found.append(one.squeeze(2).flatten(1))
        return self.dropout(self.out(torch.stack(found, 1))), state
