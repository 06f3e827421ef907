"""x Wᵀ + b with a weight that was laid out once, for good, as the machine's matrix kernels want to read it.

On a CPU F.linear hands each product to a library that takes the weight as it lies: with one row of x that reads it at
less than half of the memory's speed. oneDNN lays it out once (`packed`) and then reads it at full speed: 2.5 times as
fast in bf16, 1.5 to 3 times in fp32, where large products gain as much (`python -m benchmarks decode`). Its operators
are private to torch, so all that we know of them stands in this file; F.linear is the definition, and what is left
where they are missing or refuse.
"""

import logging
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

ROWS = 16
"""For how many rows oneDNN is asked to lay a weight out: the layout for 16 is also the best for 1 and for 512."""


def packed(weight: Float[Tensor, "d_out d_in"]) -> Tensor:
    """The weight in oneDNN's own layout, which only `packed_linear` can read; or as it is, where F.linear has to do."""
    if not _can(weight.device.type, weight.dtype):
        return weight
    layout: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), ROWS)
    return layout


def packed_linear(
    x: Float[Tensor, "*rows d_in"], layout: Tensor, bias: Float[Tensor, " d_out"] | None = None
) -> Float[Tensor, "*rows d_out"]:
    """F.linear(x, weight, bias), where `layout` is packed(weight). For inference: it has no gradient."""
    if not layout.is_mkldnn:
        return F.linear(x, layout, bias)
    y: Tensor = torch.ops.mkldnn._linear_pointwise.default(x, layout, bias, "none", [], "")
    return y


@cache
def _can(device: str, dtype: torch.dtype) -> bool:
    """Whether oneDNN multiplies as F.linear does, on this device and in this precision; said once in the log."""
    able = device == "cpu" and _agrees(dtype)
    version = "packed by oneDNN" if able else "F.linear"
    logging.getLogger("firsthand.ops").info("linear in decoding on %s in %s: version %s", device, dtype, version)
    return able


def _agrees(dtype: torch.dtype) -> bool:
    """Tried on a small product, since private operators may change, and refuse where the CPU lacks instructions."""
    weight, x = torch.linspace(-1, 1, 64 * 48).view(64, 48).to(dtype), torch.linspace(-1, 1, 48).unsqueeze(0).to(dtype)
    try:
        found = packed_linear(x, torch.ops.mkldnn._reorder_linear_weight(weight, ROWS))
    except (AttributeError, RuntimeError, TypeError, NotImplementedError):
        return False
    return torch.allclose(found, F.linear(x, weight), rtol=1e-2, atol=1e-3)
