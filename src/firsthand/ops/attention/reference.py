"""Attention as it is defined: the specification of every fast version."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def attention(
    query: Float[Tensor, "*batch heads query d_head"],
    key: Float[Tensor, "*batch heads key d_head"],
    value: Float[Tensor, "*batch heads key d_value"],
    visible: Bool[Tensor, "..."],
    scale: float | None = None,
    bias: Float[Tensor, "..."] | None = None,
    softcap: float | None = None,
    sinks: Float[Tensor, " heads"] | None = None,
) -> Float[Tensor, "*batch heads query d_value"]:
    """softmax(scale · query keyᵀ + bias) value, over the visible keys ("Attention is all you need", 3.2.1).

    `scale`: by default 1 / √d_head. `visible` and `bias` broadcast to (*batch, heads, query, key). `softcap` squeezes
    the scores to ±softcap by softcap · tanh(score / softcap) before the bias (Gemma 2, arXiv 2408.00118, section 2).
    `sinks`: a score for each head that takes part in the softmax and has no value (gpt-oss; arXiv 2309.17453, section
    3.3). A query that may read nothing gets zeros.
    """
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = scale * query @ key.transpose(-1, -2)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if bias is not None:
        scores = scores + bias
    scores = scores.masked_fill(~visible, -torch.inf)
    sink = torch.full_like(scores[..., :1], -torch.inf) if sinks is None else sinks[:, None, None]
    # the largest score leaves the exponent finite; where nothing is visible it is 0, and so are all weights
    largest = torch.maximum(scores.amax(-1, keepdim=True), sink).clamp(min=torch.finfo(scores.dtype).min)
    weights = torch.exp(scores - largest)
    total = weights.sum(-1, keepdim=True) + torch.exp(sink - largest)
    return (weights / torch.where(total == 0, 1, total)) @ value
