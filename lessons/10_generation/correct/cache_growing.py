"""A cache that grows by concatenation; scores by einsum, heads in groups instead of copies."""

from types import SimpleNamespace

import torch
from torch import nn


class KVCache:
    def __init__(self, batch, n_kv_heads, length, d_key, d_value, like) -> None:
        self.room = length
        self.k = like.new_empty(batch, n_kv_heads, 0, d_key)
        self.v = like.new_empty(batch, n_kv_heads, 0, d_value)
        self.d = torch.empty(batch, 0, dtype=torch.long)

    def append(self, key, value, place):
        if self.k.shape[-2] + key.shape[-2] > self.room:
            raise ValueError(f"no room: this cache is for {self.room} tokens")
        document = torch.zeros_like(place.index) if place.document is None else place.document
        self.k = torch.cat([self.k, key], -2)
        self.v = torch.cat([self.v, value], -2)
        self.d = torch.cat([self.d, document.expand(len(key), key.shape[-2])], -1)
        return SimpleNamespace(keys=self.k, values=self.v, document=self.d)


class CausalSelfAttention(nn.Module):
    def __init__(self, d_model, n_heads, n_kv_heads=None, position=None, dropout=0.0) -> None:
        super().__init__()
        self.kv, self.width = n_kv_heads or n_heads, d_model // n_heads
        self.group = n_heads // self.kv
        self.position = position
        self.query = nn.Linear(d_model, d_model, bias=False)
        self.key = nn.Linear(d_model, self.kv * self.width, bias=False)
        self.value = nn.Linear(d_model, self.kv * self.width, bias=False)
        self.out = nn.Linear(d_model, d_model, bias=False)
        self.p = dropout

    def initial_state(self, batch, length):
        return KVCache(batch, self.kv, length, self.width, self.width, self.value.weight)

    def state_size(self, length):
        return length * (self.key.out_features + self.value.out_features)

    def forward(self, x, place, state=None):
        batch, time, _ = x.shape
        q = self.query(x).unflatten(-1, (self.kv * self.group, self.width)).movedim(1, 2)
        k = self.key(x).unflatten(-1, (self.kv, self.width)).movedim(1, 2)
        v = self.value(x).unflatten(-1, (self.kv, self.width)).movedim(1, 2)
        if self.position is not None:
            q, k = self.position.rotate(q, place.index), self.position.rotate(k, place.index)
        cache = state or KVCache(batch, self.kv, time, self.width, self.width, x)
        found = cache.append(k, v, place)
        scores = torch.einsum("bgrqd,bgkd->bgrqk", q.unflatten(1, (self.kv, self.group)), found.keys)
        total = found.keys.shape[-2]
        hidden = torch.ones(total, total, dtype=torch.bool).triu(1)[total - time :]
        other = found.document[:, -time:, None] != found.document[:, None, :]
        scores = (scores / self.width**0.5).masked_fill((hidden | other)[:, None, None], -torch.inf)
        mixed = torch.einsum("bgrqk,bgkd->bqgrd", scores.softmax(-1), found.values).flatten(2)
        return nn.functional.dropout(self.out(mixed), self.p, self.training), state
