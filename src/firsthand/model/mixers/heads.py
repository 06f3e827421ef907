"""Heads: channels cut into equal parts, each of which attends for itself."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from firsthand.errors import UserError
from firsthand.model import Position
from firsthand.ops.rms_norm import rms_norm
from firsthand.types import Place


def head_sizes(d_model: int, n_heads: int, n_kv_heads: int | None, d_head: int | None) -> tuple[int, int, int]:
    """n_heads, n_kv_heads and d_head, the last two by default n_heads and d_model / n_heads. UserError on a misfit."""
    n_kv_heads = n_kv_heads or n_heads
    if d_head is None and d_model % n_heads:
        raise UserError(f"d_model = {d_model} cannot be shared by n_heads = {n_heads} heads. Change one of them.")
    if n_heads % n_kv_heads:
        raise UserError(f"n_heads = {n_heads} is not a multiple of n_kv_heads = {n_kv_heads}. Change one of them.")
    return n_heads, n_kv_heads, d_head or d_model // n_heads


def split_heads(x: Float[Tensor, "batch time channels"], n_heads: int) -> Float[Tensor, "batch heads time d_head"]:
    batch, time, channels = x.shape
    if time == 1:  # where every call counts, one does for two
        return x.view(batch, n_heads, 1, channels // n_heads)
    return x.view(batch, time, n_heads, channels // n_heads).transpose(1, 2)


def merge_heads(heads: Float[Tensor, "batch heads time d_head"]) -> Float[Tensor, "batch time channels"]:
    return heads.reshape(len(heads), 1, -1) if heads.shape[2] == 1 else heads.transpose(1, 2).flatten(2)


def turned(
    position: Position,
    place: Place,
    query: Float[Tensor, "batch heads time d_head"],
    key: Float[Tensor, "batch kv_heads time d_head"],
) -> tuple[Float[Tensor, "batch heads time d_head"], Float[Tensor, "batch kv_heads time d_head"]]:
    """Queries and keys as they meet. Those of a single token are turned as one: copying them costs less than a call."""
    if query.shape[2] > 1:
        return position.rotate(query, place.index), position.rotate(key, place.index)
    both = position.rotate(torch.cat((query, key), 1), place.index)
    return both[:, : query.shape[1]], both[:, query.shape[1] :]


class UnitNorm(nn.Module):
    """Sets vectors to unit mean square, then, with `gain`, each channel to a learned size, the same for all heads."""

    def __init__(self, width: int, eps: float, gain: bool) -> None:
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(width)) if gain else None

    def forward(self, x: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows width"]:
        return rms_norm(x, None if self.gain is None else self.gain.to(x.dtype), self.eps)


def head_norm(kind: bool | str, d_head: int, eps: float) -> nn.Module:
    """What `qk_norm` puts before the rotation: nothing (False), a norm (True), or one with a learned gain ("gain")."""
    if not isinstance(kind, bool) and kind != "gain":
        raise UserError(f"There is no qk_norm {kind!r}. Write true, false, or gain for a norm with a learned gain.")
    return UnitNorm(d_head, eps, kind == "gain") if kind else nn.Identity()
