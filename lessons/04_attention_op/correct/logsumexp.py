"""Attention by way of logarithms: the weights are exp(score - log of the sum of all exps)."""

import torch
from torch import Tensor


def attention(query: Tensor, key: Tensor, value: Tensor, visible: Tensor) -> Tensor:
    scaled = query * query.shape[-1] ** -0.5
    scores = torch.where(visible, torch.matmul(scaled, key.mT), torch.finfo(query.dtype).min / 4)
    weights = (scores - scores.logsumexp(-1, keepdim=True)).exp() * visible
    return torch.matmul(weights, value)
