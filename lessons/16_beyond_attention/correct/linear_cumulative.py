"""Linear attention with running sums: the memory after every token, all at once. The value gets a column of ones."""

import torch


def normalized_linear_attention(query, key, value, memory=None, total=None, eps=1e-6):
    wide = torch.cat((value, torch.ones_like(value[..., :1])), -1)
    sums = torch.einsum("bhtk,bhtv->bhtkv", key, wide).cumsum(2)
    start = torch.zeros_like(sums[:, :, 0])
    start = start + torch.cat(
        (start[..., :-1] if memory is None else memory, start[..., -1:] if total is None else total), -1
    )
    sums = sums + start.unsqueeze(2)
    read = torch.einsum("bhtk,bhtkv->bhtv", query, sums)
    last = sums[:, :, -1]
    return read[..., :-1] / (read[..., -1:] + eps), last[..., :-1], last[..., -1:]
