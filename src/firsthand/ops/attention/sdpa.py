"""Attention by torch's scaled_dot_product_attention: flash kernels, which never write the scores to memory."""

import torch
from torch import Tensor
from torch.nn import functional as F

from firsthand.ops.attention.mask import Mask


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
    assert softcap is None, "the flash kernels have no softcap"
    assert sinks is None, "the flash kernels have no sinks"
    length, keys = query.shape[2], key.shape[2]
    # is_causal puts the first query at the first key, ours the last at the last
    by_flag = bias is None and mask.only_causal(length, keys)
    allowed = None if by_flag else mask.dense(length, keys, query.device)
    added = allowed
    if bias is not None:
        added = bias.to(query.dtype)
        added = added if allowed is None else torch.where(allowed, added, -torch.inf)
    d_value = value.shape[3]
    if query.device.type == "cpu" and d_value < query.shape[3]:  # the flash kernel wants them equal
        value = F.pad(value, (0, query.shape[3] - d_value))
    out = F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=added,
        dropout_p=dropout,
        is_causal=by_flag,
        scale=scale,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    out = out if out.shape[3] == d_value else out[..., :d_value]
    if allowed is None or not mask.blind(length, keys):
        return out
    return out.masked_fill(~allowed.any(-1, keepdim=True), 0.0)
