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
    batch, heads, length, d_head = query.shape
    kv_heads, keys = key.shape[1], key.shape[2]
    group = heads // kv_heads
    if causal and length > 1:
        own = _causal_bias(length, keys, query.dtype, query.device)
        bias = own if bias is None else bias + own
    if visible is not None:
        hidden = torch.where(visible, 0.0, torch.finfo(query.dtype).min).to(query.dtype)
        bias = hidden if bias is None else bias + hidden
    # the query heads that share a key head stand as one longer row
    rows = query.reshape(batch * kv_heads, group * length, d_head)
    columns = key.reshape(batch * kv_heads, keys, d_head).transpose(1, 2)
    scale = d_head**-0.5
    if bias is None or softcap is not None:
        scores = torch.bmm(rows * scale, columns)
        if softcap is not None:
            scores = softcap * torch.tanh(scores / softcap)
        scores = scores if bias is None else scores + _as_rows(bias, batch, kv_heads, group, length, keys)
    else:
        scores = torch.baddbmm(
            _as_rows(bias, batch, kv_heads, group, length, keys).to(rows.dtype), rows, columns, alpha=scale
        )
    weights = F.dropout(scores.softmax(-1), dropout) if dropout else scores.softmax(-1)
    out = torch.bmm(weights, value.reshape(batch * kv_heads, keys, -1)).view(batch, heads, length, -1)
    return out if visible is None else out.masked_fill(~_reads_something(visible, causal, length, keys), 0.0)


def _as_rows(bias: Tensor, batch: int, kv_heads: int, group: int, length: int, keys: int) -> Tensor:
    """(…, query, key) as (batch · kv_heads or 1, group · length, key)."""
    if bias.dim() == 2 and group == 1:
        return bias
    full = bias.expand(batch, kv_heads * group, length, keys)
    return full.reshape(batch * kv_heads, group * length, keys)


def _reads_something(visible: Tensor, causal: bool, length: int, keys: int) -> Tensor:
    if causal and length > 1:
        visible = visible & causal_mask(length, keys, keys - length, device=visible.device)
    return visible.any(-1, keepdim=True)


@lru_cache(maxsize=32)
def _causal_bias(length: int, keys: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """0 where the key may be read, the lowest number elsewhere; kept, since every layer and step wants the same."""
    own = causal_mask(length, keys, keys - length, device=device)
    return torch.zeros(length, keys, dtype=dtype, device=device).masked_fill_(~own, torch.finfo(dtype).min)
