"""Linear attention three tokens at a time: products within a chunk, a memory handed from chunk to chunk."""

import torch


def normalized_linear_attention(query, key, value, memory=None, total=None, eps=1e-6):
    shape = (*key.shape[:2], key.shape[3])
    memory = torch.zeros(*shape, value.shape[-1], dtype=value.dtype) if memory is None else memory
    total = torch.zeros(*shape, 1, dtype=value.dtype) if total is None else total
    out = []
    for q, k, v in zip(query.split(3, 2), key.split(3, 2), value.split(3, 2), strict=True):
        near = torch.tril(q @ k.transpose(-1, -2))
        out.append((near @ v + q @ memory) / (near.sum(-1, True) + q @ total + eps))
        memory, total = memory + k.transpose(-1, -2) @ v, total + k.sum(2)[..., None]
    return torch.cat(out, 2), memory, total
