"""With einsum, and the mask from torch.tril."""

import torch
from torch import Tensor, nn

from firsthand.learn.replay import Replay, same_document
from firsthand.types import Place


def causal_mask(query_length: int, key_length: int, offset: int = 0) -> Tensor:
    return torch.ones(query_length, key_length, dtype=torch.bool).tril(diagonal=offset)


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    return x.unflatten(-1, (n_heads, -1)).movedim(2, 1)


def merge_heads(heads: Tensor) -> Tensor:
    return heads.movedim(1, 2).flatten(2)


class CausalSelfAttention(nn.Module):
    def __init__(self, d_model: int, n_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.query = nn.Linear(d_model, d_model, bias=False)
        self.key = nn.Linear(d_model, d_model, bias=False)
        self.value = nn.Linear(d_model, d_model, bias=False)
        self.out = nn.Linear(d_model, d_model, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.n_heads = n_heads
        self.scale = (d_model // n_heads) ** -0.5

    def initial_state(self, batch: int, length: int) -> Replay:
        return Replay(batch, length, self.query.weight)

    def state_size(self, length: int) -> int:
        return length * self.query.weight.shape[1]

    def forward(self, x: Tensor, place: Place, state: Replay | None = None) -> tuple[Tensor, Replay | None]:
        if state is not None:
            return state.replay(self, x, place)
        q, k, v = (self._heads(layer, x) for layer in (self.query, self.key, self.value))
        scores = torch.einsum("bhqd,bhkd->bhqk", q * self.scale, k)
        hidden = ~(causal_mask(x.shape[1], x.shape[1]) & same_document(place))
        weights = torch.softmax(scores + torch.zeros_like(scores).masked_fill(hidden, float("-inf")), dim=3)
        return self.dropout(self.out(merge_heads(torch.einsum("bhqk,bhkd->bhqd", weights, v)))), state

    def _heads(self, layer: nn.Module, x: Tensor) -> Tensor:
        return split_heads(layer(x), self.n_heads)
