"""Rotating pairs of channels: one function. While training, an interleaved pair is one complex number."""

import torch
from jaxtyping import Float
from torch import Tensor

from firsthand.ops.rotate.reference import rotate as _definition
from firsthand.ops.rotate.reference import turns_of

__all__ = ["LAYOUTS", "rotate", "turns_of"]

LAYOUTS = ("interleaved", "half")


def rotate(
    heads: Float[Tensor, "*batch time d_head"], turns: Float[Tensor, "*rows time both"], layout: str = "interleaved"
) -> Float[Tensor, "*batch time d_head"]:
    """Turn each channel pair of `heads` by its angle, of which `turns` (see `turns_of`) knows cos and sin.

    Pair i is channels (2i, 2i + 1) in the "interleaved" layout and (i, i + d_head/2) in the "half" layout. `turns`
    broadcasts to the heads. The interleaved layout is the fast one: one pass over memory, forward and backward.
    """
    if layout == "half" or torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return _definition(heads, turns.to(heads.dtype), layout)
    exact = torch.promote_types(heads.dtype, torch.float32)
    cos, sin = turns.to(exact).chunk(2, -1)
    angles = torch.complex(cos[..., ::2], sin[..., 1::2])
    return torch.view_as_real(_complex(heads.to(exact)) * angles).flatten(-2).to(heads.dtype)


def _complex(x: Tensor) -> Tensor:
    if x.stride(-1) != 1 or x.storage_offset() % 2 or any(stride % 2 for stride in x.stride()[:-1]):
        # a complex number's two halves are neighbours, and the first stands at an even place
        x = x.clone(memory_format=torch.contiguous_format)
    return torch.view_as_complex(x.unflatten(-1, (-1, 2)))  # type: ignore[no-untyped-call]
