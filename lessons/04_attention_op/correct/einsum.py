"""Attention by einsum and torch's softmax."""

import torch
from torch import Tensor


def attention(query: Tensor, key: Tensor, value: Tensor, visible: Tensor) -> Tensor:
    scores = torch.einsum("...qd,...kd->...qk", query, key) / query.shape[-1] ** 0.5
    scores = scores.masked_fill(~visible, float("-inf"))
    nothing = ~visible.any(dim=-1, keepdim=True)
    weights = scores.masked_fill(nothing, 0.0).softmax(dim=-1).masked_fill(nothing, 0.0)
    return torch.einsum("...qk,...kv->...qv", weights, value)
