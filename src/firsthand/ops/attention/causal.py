"""Causal attention of whole rows by matrix products, block by block, with its gradient written by hand."""

import itertools
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SHORTEST, BLOCK, MOST = 256, 64, 4
"""From so many tokens on it pays to cut rows into blocks of queries, of so many at least, into so many at most."""


class CausalProduct(torch.autograd.Function):
    """softmax(scale · q kᵀ) v, where query i reads the keys up to i.

    A block of queries is multiplied with the keys up to its end alone: of the half of the square that nobody may read,
    up to three quarters are neither computed nor kept. query (rows, group, length, d_head), key (rows, length, d_head)
    and value (rows, length, d_value) to (rows, group, length, d_value): the heads of a group share keys.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        out, kept = query.new_empty(*query.shape[:3], value.shape[2]), []
        for start, end in _blocks(query.shape[2]):
            mine = query[:, :, start:end].flatten(1, 2)
            mask = _mask(end - start, end, query.shape[1], query.dtype)
            weights = torch.baddbmm(mask, mine, key[:, :end].mT, alpha=scale).softmax(-1)
            out[:, :, start:end] = torch.bmm(weights, value[:, :end]).view_as(out[:, :, start:end])
            kept.append(weights)
        ctx.save_for_backward(query, key, value, *kept)
        ctx.scale = scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value, *kept = ctx.saved_tensors
        to_query, to_key, to_value = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        for (start, end), weights in zip(_blocks(query.shape[2]), kept, strict=True):
            mine, given = query[:, :, start:end].flatten(1, 2), gradient[:, :, start:end].flatten(1, 2)
            to_value[:, :end] += torch.bmm(weights.mT, given)
            scores = torch.bmm(given, value[:, :end].mT)
            scores = torch._softmax_backward_data(scores, weights, -1, weights.dtype)
            asked = torch.bmm(scores, key[:, :end]).mul_(ctx.scale)
            to_query[:, :, start:end] = asked.view_as(to_query[:, :, start:end])
            to_key[:, :end] += torch.bmm(scores.mT, mine).mul_(ctx.scale)
        return to_query, to_key, to_value, None


def _blocks(length: int) -> Iterator[tuple[int, int]]:
    """Where each block of queries begins and ends."""
    blocks = min(MOST, length // BLOCK)
    return itertools.pairwise(length * number // blocks for number in range(blocks + 1))


@lru_cache(maxsize=16)
def _mask(queries: int, keys: int, group: int, dtype: torch.dtype) -> Tensor:
    """0 where a query may read, the lowest number elsewhere; the last query stands at the last key."""
    with torch.inference_mode(False):  # it may meet gradients later
        ahead = torch.ones(queries, keys, dtype=torch.bool).triu_(keys - queries + 1)
        return torch.zeros(queries, keys, dtype=dtype).masked_fill_(ahead, torch.finfo(dtype).min).repeat(group, 1)
