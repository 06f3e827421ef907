"""Rotating pairs of channels, as it is defined."""

import torch
from jaxtyping import Float
from torch import Tensor


def rotate(
    heads: Float[Tensor, "*batch time d_head"], turns: Float[Tensor, "*rows time both"], layout: str = "interleaved"
) -> Float[Tensor, "*batch time d_head"]:
    """Turn the plane of each channel pair (a, b) by its angle: (a cos - b sin, b cos + a sin).

    Pair i is channels (2i, 2i + 1) in the "interleaved" layout (RoFormer, arXiv 2104.09864, eq. 34) and
    (i, i + d_head/2) in the "half" layout (Llama's weights in the Hugging Face format). `turns` broadcasts to the heads
    and holds, for each channel, first what it is multiplied with (cos), then its partner (-sin for a, sin for b); so
    that both layouts are x · cos + partner(x) · sin.
    """
    cos, sin = turns.split_with_sizes((heads.shape[-1],) * 2, -1)
    return torch.addcmul(heads * cos, partners(heads, layout), sin)


def partners(heads: Float[Tensor, "*batch d_head"], layout: str) -> Float[Tensor, "*batch d_head"]:
    """Every channel replaced by the other of its pair."""
    if layout == "half":
        return heads.roll(heads.shape[-1] // 2, -1)
    return torch.unflatten(heads, -1, (-1, 2)).flip(-1).flatten(-2)


def turns_of(
    cos: Float[Tensor, "*rows half"], sin: Float[Tensor, "*rows half"], layout: str
) -> Float[Tensor, "*rows both"]:
    """What `rotate` wants to know, for pairs that turn by angles with this cos and sin."""
    if layout == "half":
        return torch.cat((cos, cos, -sin, sin), -1)
    return torch.cat((cos.repeat_interleave(2, -1), torch.stack((-sin, sin), -1).flatten(-2)), -1)
