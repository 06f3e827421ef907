"""Attention as it is defined: the specification of every fast version."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def causal_mask(
    query_length: int, key_length: int, offset: int = 0, device: torch.device | str | None = None
) -> Bool[Tensor, "query key"]:
    """True where query i, which stands at offset + i, may read key j: j <= offset + i."""
    query_index = torch.arange(query_length, device=device) + offset
    key_index = torch.arange(key_length, device=device)
    return query_index[:, None] >= key_index[None, :]


def attention(
    query: Float[Tensor, "*batch query d_head"],
    key: Float[Tensor, "*batch key d_head"],
    value: Float[Tensor, "*batch key d_value"],
    visible: Bool[Tensor, "..."],
    bias: Float[Tensor, "..."] | None = None,
    softcap: float | None = None,
) -> Float[Tensor, "*batch query d_value"]:
    """softmax(query keyᵀ / √d_head + bias) value, over the visible keys ("Attention is all you need", 3.2.1).

    `visible` and `bias` broadcast to (*batch, query, key). A query that may read nothing gets zeros. `softcap`
    squeezes the scores to ±softcap by softcap · tanh(score / softcap) before the bias (Gemma 2, section 2).
    """
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if bias is not None:
        scores = scores + bias
    scores = scores.masked_fill(~visible, -torch.inf)
    # the largest score leaves the exponent finite; where nothing is visible it is 0, and so are all weights
    largest = scores.amax(-1, keepdim=True).clamp(min=torch.finfo(scores.dtype).min)
    weights = torch.exp(scores - largest)
    total = weights.sum(-1, keepdim=True)
    return (weights / torch.where(total == 0, 1, total)) @ value
