"""With torch's own attention. It passes, with a note."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from firsthand.learn.replay import Replay, same_document
from firsthand.types import Place


def causal_mask(query_length: int, key_length: int, offset: int = 0) -> Tensor:
    return torch.arange(key_length).le(torch.arange(offset, offset + query_length).unsqueeze(1))


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    batch, time, channels = x.shape
    return x.view(batch, time, n_heads, channels // n_heads).permute(0, 2, 1, 3)


def merge_heads(heads: Tensor) -> Tensor:
    batch, n_heads, time, d_head = heads.shape
    return heads.permute(0, 2, 1, 3).contiguous().view(batch, time, n_heads * d_head)


class CausalSelfAttention(nn.Module):
    def __init__(self, d_model: int, n_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.n_heads = n_heads
        for name in ("query", "key", "value", "out"):
            self.add_module(name, nn.Linear(d_model, d_model, bias=False))
        self.dropout = nn.Dropout(p=dropout)

    def initial_state(self, batch: int, length: int) -> Replay:
        return Replay(batch, length, self.query.weight)

    def state_size(self, length: int) -> int:
        return length * self.query.weight.shape[1]

    def forward(self, x: Tensor, place: Place, state: Replay | None = None) -> tuple[Tensor, Replay | None]:
        if state is not None:
            return state.replay(self, x, place)
        heads = [split_heads(layer(x), self.n_heads) for layer in (self.query, self.key, self.value)]
        allowed = causal_mask(x.shape[1], x.shape[1]) & same_document(place)
        return self.dropout(self.out(merge_heads(F.scaled_dot_product_attention(*heads, attn_mask=allowed)))), state
