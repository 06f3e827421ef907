"""One head after another, one query after another; the mask by hand."""

import torch
from torch import Tensor, nn

from firsthand.learn.replay import Replay, same_document
from firsthand.types import Place


def causal_mask(query_length: int, key_length: int, offset: int = 0) -> Tensor:
    mask = torch.zeros(query_length, key_length, dtype=torch.bool)
    for i in range(query_length):
        for j in range(key_length):
            mask[i, j] = j <= offset + i
    return mask


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    return torch.stack(x.chunk(n_heads, dim=-1), dim=1)


def merge_heads(heads: Tensor) -> Tensor:
    return torch.cat(heads.unbind(1), dim=-1)


class CausalSelfAttention(nn.Module):
    def __init__(self, d_model: int, n_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = n_heads
        self.query, self.key, self.value, self.out = (nn.Linear(d_model, d_model, bias=False) for _ in range(4))
        self.drop = nn.Dropout(dropout)

    def initial_state(self, batch: int, length: int) -> Replay:
        return Replay(batch, length, self.query.weight)

    def state_size(self, length: int) -> int:
        return length * self.query.weight.shape[1]

    def forward(self, x: Tensor, place: Place, state: Replay | None = None) -> tuple[Tensor, Replay | None]:
        if state is not None:
            return state.replay(self, x, place)
        batch, time, _ = x.shape
        same = same_document(place).expand(batch, 1, time, time)
        parts = (split_heads(layer(x), self.heads) for layer in (self.query, self.key, self.value))
        found = torch.stack(
            [_one_head(q, k, v, same) for q, k, v in zip(*(p.unbind(1) for p in parts), strict=True)], 1
        )
        return self.drop(self.out(merge_heads(found))), state


def _one_head(query: Tensor, key: Tensor, value: Tensor, same: Tensor) -> Tensor:
    rows = []
    for t in range(query.shape[1]):
        scores = (key[:, : t + 1] @ query[:, t, :, None]).squeeze(-1) / query.shape[-1] ** 0.5
        weights = torch.where(same[:, 0, t, : t + 1], scores, -torch.inf).softmax(-1)
        rows.append((weights.unsqueeze(-1) * value[:, : t + 1]).sum(1))
    return torch.stack(rows, 1)
