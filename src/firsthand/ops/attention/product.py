"""Attention as two batched matrix products with a softmax between: what a CPU does fastest on short rows."""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from firsthand.ops.attention.reference import causal_mask


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    visible: Tensor | None,
    causal: bool,
    bias: Tensor | None,
    softcap: float | None,
    dropout: float,
) -> Tensor:
    """See `firsthand.ops.attention.attention`."""
    batch, heads, length, d_head = query.shape
    kv_heads, keys = key.shape[1], key.shape[2]
    # the query heads that share a key head stand as one longer row
    group = heads // kv_heads
    rows = query.reshape(batch * kv_heads, group * length, d_head)
    columns = key.reshape(batch * kv_heads, keys, d_head).transpose(1, 2)
    mask = _mask(query, keys, visible, causal, bias)
    if mask is not None and mask.dim() == 2 and softcap is None:
        scores = torch.baddbmm(mask.repeat(group, 1) if group > 1 else mask, rows, columns, alpha=d_head**-0.5)
    else:
        scores = torch.bmm(rows * d_head**-0.5, columns).view(batch, heads, length, keys)
        scores = scores if softcap is None else softcap * torch.tanh(scores / softcap)
        scores = scores if mask is None else scores.add_(mask)
    weights = scores.softmax(-1)
    weights = F.dropout(weights, dropout) if dropout else weights
    weights = weights.view(batch * kv_heads, -1, keys)
    out = torch.bmm(weights, value.reshape(batch * kv_heads, keys, -1)).view(batch, heads, length, -1)
    if visible is None:
        return out
    reads = visible & causal_mask(length, keys, keys - length, device=visible.device) if causal else visible
    return out.masked_fill(~reads.any(-1, keepdim=True), 0.0)


def _mask(query: Tensor, keys: int, visible: Tensor | None, causal: bool, bias: Tensor | None) -> Tensor | None:
    """What is added to the scores, (…, query, key), in their dtype; None adds nothing."""
    length, lowest = query.shape[2], torch.finfo(query.dtype).min
    mask = None if bias is None else bias.to(query.dtype)
    if causal and length > 1:
        # kept for all layers and steps, except in tracing: there query holds no numbers
        real = type(query) is Tensor and not torch.compiler.is_compiling()
        own = (_kept_mask if real else _causal_mask)(length, keys, query.dtype, query.device)
        mask = own if mask is None else mask + own
    if visible is not None:
        zero = torch.zeros((), dtype=query.dtype, device=query.device)
        mask = torch.where(visible, zero if mask is None else mask, lowest)
    return mask


def _causal_mask(length: int, keys: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """0 where the key may be read, the lowest number elsewhere."""
    with torch.inference_mode(False):  # a kept tensor may meet gradients later
        own = causal_mask(length, keys, keys - length, device=device)
        return torch.zeros(length, keys, dtype=dtype, device=device).masked_fill_(~own, torch.finfo(dtype).min)


_kept_mask = lru_cache(maxsize=16)(_causal_mask)
