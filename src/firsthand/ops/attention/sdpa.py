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
    assert softcap is None, "chosen for scores without a cap only"
    length, keys = query.shape[2], key.shape[2]
    square = length == keys
    if causal and not square and length > 1:
        own = causal_mask(length, keys, keys - length, device=query.device)
        visible = own if visible is None else own & visible
    elif causal and square and (visible is not None or bias is not None):
        own = causal_mask(length, keys, device=query.device)
        visible = own if visible is None else own & visible
    plain = causal and square and visible is None and bias is None
    mask = visible
    if bias is not None:
        mask = bias if visible is None else torch.where(visible, bias, -torch.inf)
        mask = mask.to(query.dtype)
    out = F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=plain, enable_gqa=query.shape[1] != key.shape[1]
    )
    if visible is None or plain:
        return out
    return out.masked_fill(~visible.any(-1, keepdim=True), 0.0)
