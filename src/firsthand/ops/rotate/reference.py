"""Rotating pairs of channels, as it is defined."""

import torch
from jaxtyping import Float
from torch import Tensor


def rotate(
    heads: Float[Tensor, "*batch time d_head"], turns: Float[Tensor, "*rows time d_head"], layout: str = "interleaved"
) -> Float[Tensor, "*batch time d_head"]:
    """Turn the plane of each channel pair (a, b) by its angle: (a cos - b sin, b cos + a sin).

    `turns` holds cos and sin of pair i in columns 2i and 2i + 1, and broadcasts to the heads. Pair i is channels
    (2i, 2i + 1) in the "interleaved" layout (RoFormer, arXiv 2104.09864, eq. 34) and (i, i + d_head/2) in the "half"
    layout (Llama's weights in the Hugging Face format).
    """
    cos, sin = turns[..., 0::2], turns[..., 1::2]
    if layout == "half":
        a, b = heads.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)
    a, b = heads[..., 0::2], heads[..., 1::2]
    return torch.stack((a * cos - b * sin, b * cos + a * sin), dim=-1).flatten(-2)
