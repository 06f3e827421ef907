"""Every step of attention in sight. The slips of causal_attention are edits of this file."""

import torch
from torch import Tensor, nn

from firsthand.learn.replay import Replay, same_document
from firsthand.ops.attention.mask import causal_mask
from firsthand.types import Place


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    batch, time, channels = x.shape
    return x.reshape(batch, time, n_heads, channels // n_heads).transpose(1, 2)


def merge_heads(heads: Tensor) -> Tensor:
    batch, n_heads, time, d_head = heads.shape
    return heads.transpose(1, 2).reshape(batch, time, n_heads * d_head)


class CausalSelfAttention(nn.Module):
    def __init__(self, d_model: int, n_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.n_heads, self.rate = n_heads, dropout
        self.query = nn.Linear(d_model, d_model, bias=False)
        self.key = nn.Linear(d_model, d_model, bias=False)
        self.value = nn.Linear(d_model, d_model, bias=False)
        self.out = nn.Linear(d_model, d_model, bias=False)

    def initial_state(self, batch: int, length: int) -> Replay:
        return Replay(batch, length, self.query.weight)

    def state_size(self, length: int) -> int:
        return length * self.query.weight.shape[1]

    def forward(self, x: Tensor, place: Place, state: Replay | None = None) -> tuple[Tensor, Replay | None]:
        if state is not None:
            return state.replay(self, x, place)
        time = x.shape[1]
        query = split_heads(self.query(x), self.n_heads)
        key = split_heads(self.key(x), self.n_heads)
        value = split_heads(self.value(x), self.n_heads)
        allowed = causal_mask(time, time) & same_document(place)
        scores = query @ key.transpose(-1, -2)
        scores = scores / query.shape[-1] ** 0.5
        scores = scores.masked_fill(~allowed, -torch.inf)
        weights = scores.softmax(-1)
        heads = weights @ value
        y = self.out(merge_heads(heads))
        return nn.functional.dropout(y, self.rate, self.training), state
