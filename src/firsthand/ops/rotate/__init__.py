"""Rotating pairs of channels: one function. In eager mode an interleaved pair is one complex number."""

import torch
from jaxtyping import Float
from torch import Tensor

from firsthand.ops.rotate.reference import rotate as _definition

LAYOUTS = ("interleaved", "half")


def rotate(
    heads: Float[Tensor, "*batch time d_head"], turns: Float[Tensor, "*rows time d_head"], layout: str = "interleaved"
) -> Float[Tensor, "*batch time d_head"]:
    """Turn channel pair i of `heads` by the angle whose cos and sin stand in columns 2i and 2i + 1 of `turns`.

    Pair i is channels (2i, 2i + 1) in the "interleaved" layout and (i, i + d_head/2) in the "half" layout. `turns`
    broadcasts to the heads. The interleaved layout is the fast one: one pass over memory, forward and backward.
    """
    if layout == "half" or torch.compiler.is_compiling():
        return _definition(heads, turns.to(heads.dtype), layout)
    exact = torch.promote_types(heads.dtype, torch.float32)
    return torch.view_as_real(_complex(heads.to(exact)) * _complex(turns.to(exact))).flatten(-2).to(heads.dtype)


def _complex(x: Tensor) -> Tensor:
    if x.stride(-1) != 1 or x.storage_offset() % 2 or any(stride % 2 for stride in x.stride()[:-1]):
        # a complex number's two halves are neighbours, and the first stands at an even place
        x = x.clone(memory_format=torch.contiguous_format)
    return torch.view_as_complex(x.unflatten(-1, (-1, 2)))  # type: ignore[no-untyped-call]
