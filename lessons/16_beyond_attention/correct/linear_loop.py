"""Linear attention, one token after the other: write, then read."""

import torch
from torch import Tensor


def normalized_linear_attention(query, key, value, memory=None, total=None, eps=1e-6):
    batch, heads, time, d_key = key.shape
    if memory is None:
        memory = value.new_zeros(batch, heads, d_key, value.shape[-1])
    if total is None:
        total = value.new_zeros(batch, heads, d_key, 1)
    rows: list[Tensor] = []
    for t in range(time):
        q, k, v = query[:, :, t, :, None], key[:, :, t, :, None], value[:, :, t, None, :]
        memory = memory + k * v
        total = total + k
        above = (q * memory).sum(2)
        below = (q * total).sum(2)
        rows.append(above / (below + eps))
    return torch.stack(rows, 2), memory, total
