"""Attention by torch's scaled_dot_product_attention: flash kernels, which never write the scores to memory."""

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
    assert softcap is None, "the flash kernels have no softcap"
    length, keys = query.shape[2], key.shape[2]
    # is_causal puts the first query at the first key, ours the last at the last
    by_flag = causal and length == keys and visible is None and bias is None
    if causal and length > 1 and not by_flag:
        own = causal_mask(length, keys, keys - length, device=query.device)
        visible = own if visible is None else own & visible
    mask = visible
    if bias is not None:
        mask = bias.to(query.dtype)
        mask = mask if visible is None else torch.where(visible, mask, -torch.inf)
    out = F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=by_flag,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return out if visible is None else out.masked_fill(~visible.any(-1, keepdim=True), 0.0)
