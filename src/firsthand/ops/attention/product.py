"""Attention as two batched matrix products with a softmax between: the scores are at hand, for whoever needs them."""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from firsthand.ops.attention import causal
from firsthand.ops.attention.mask import Mask

KEPT_NUMBERS = 1 << 22
"""Larger masks are made anew each time."""


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Mask,
    scale: float,
    bias: Tensor | None,
    softcap: float | None,
    sinks: Tensor | None,
    dropout: float,
) -> Tensor:
    """See `firsthand.ops.attention.attention`."""
    batch, heads, length, d_head = query.shape
    kv_heads, keys = key.shape[1], key.shape[2]
    # the query heads that share a key head stand as one longer row
    group = heads // kv_heads
    rows = query.reshape(batch * kv_heads, group * length, d_head)
    if _simple(query, keys, mask, bias, softcap, sinks, dropout):
        grouped = query.reshape(batch * kv_heads, group, length, d_head)
        flat = (each.reshape(batch * kv_heads, keys, -1) for each in (key, value))
        out: Tensor = causal.CausalProduct.apply(grouped, *flat, scale)  # type: ignore[no-untyped-call]
        return out.view(batch, heads, length, -1)
    columns = key.reshape(batch * kv_heads, keys, d_head).transpose(1, 2)
    allowed, added = _allowed_and_added(query, keys, mask, bias)
    if added is not None and added.dim() == 2 and softcap is None:
        scores = torch.baddbmm(added.repeat(group, 1) if group > 1 else added, rows, columns, alpha=scale)
        scores = scores.view(batch, heads, length, keys)
    else:
        scores = torch.bmm(rows * scale, columns).view(batch, heads, length, keys)
        scores = scores if softcap is None else softcap * torch.tanh(scores / softcap)
        scores = scores if added is None else scores.add_(added)
    if sinks is None:
        weights = scores.softmax(-1)
    else:
        sink = sinks.to(scores.dtype)[:, None, None].expand(batch, -1, length, 1)
        weights = torch.cat((scores, sink), -1).softmax(-1)[..., :-1]
    weights = F.dropout(weights, dropout) if dropout else weights
    weights = weights.reshape(batch * kv_heads, -1, keys)
    out = torch.bmm(weights, value.reshape(batch * kv_heads, keys, -1)).view(batch, heads, length, -1)
    return out if allowed is None else out.masked_fill(~allowed.any(-1, keepdim=True), 0.0)


def _simple(
    query: Tensor,
    keys: int,
    mask: Mask,
    bias: Tensor | None,
    softcap: float | None,
    sinks: Tensor | None,
    dropout: float,
) -> bool:
    """Whether order is all that counts, in rows that are worth being cut. Compilers see the plain formula."""
    if query.device.type != "cpu" or type(query) is not Tensor or torch.compiler.is_compiling():
        return False
    plain = bias is None and softcap is None and sinks is None and not dropout
    return plain and mask.only_causal(query.shape[2], keys) and query.shape[2] >= causal.SHORTEST


def _allowed_and_added(
    query: Tensor, keys: int, mask: Mask, bias: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """Who may read whom if some may read nobody, and what is added to the scores, in their dtype; None: nothing."""
    length, dtype, device = query.shape[2], query.dtype, query.device
    added = None if bias is None else bias.to(dtype)
    blind = mask.blind(length, keys)
    # where all rows agree it is kept for all layers and steps, except in tracing: there query holds no numbers
    if not blind and mask.segment is None:
        real = type(query) is Tensor and not torch.compiler.is_compiling() and length * keys <= KEPT_NUMBERS
        own = (_kept if real else _by_place)(length, keys, mask, dtype, device)
        return None, own if added is None else added if own is None else added + own
    allowed = mask.dense(length, keys, device)
    assert allowed is not None
    nothing = torch.zeros((), dtype=dtype, device=device)
    added = torch.where(allowed, nothing if added is None else added, torch.finfo(dtype).min)
    return allowed if blind else None, added


def _by_place(length: int, keys: int, mask: Mask, dtype: torch.dtype, device: torch.device) -> Tensor | None:
    """0 where the key may be read, the lowest number elsewhere."""
    with torch.inference_mode(False):  # a kept tensor may meet gradients later
        own = mask.dense(length, keys, device)
        if own is None:
            return None
        return torch.zeros(length, keys, dtype=dtype, device=device).masked_fill_(~own, torch.finfo(dtype).min)


_kept = lru_cache(maxsize=16)(_by_place)
