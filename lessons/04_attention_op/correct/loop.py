"""Attention with a loop over the queries."""

import torch
from torch import Tensor


def attention(query: Tensor, key: Tensor, value: Tensor, visible: Tensor) -> Tensor:
    allowed = visible.expand(*query.shape[:-1], key.shape[-2])
    rows = []
    for i in range(query.shape[-2]):
        scores = (query[..., i : i + 1, :] * key).sum(-1) / query.shape[-1] ** 0.5
        may = allowed[..., i, :]
        scores = torch.where(may, scores, -torch.inf)
        top = scores.max(-1, keepdim=True).values
        powers = torch.where(may, (scores - torch.where(top.isinf(), 0, top)).exp(), 0)
        weights = powers / powers.sum(-1, keepdim=True).clamp(min=1e-30)
        rows.append((weights.unsqueeze(-1) * value).sum(-2))
    return torch.stack(rows, dim=-2)
