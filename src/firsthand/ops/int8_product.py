"""Products of whole numbers of 8 bits, summed in 32: what a processor does several times as fast as with floats.

`reference` is the definition. torch's own kernel (`torch._int_mm`) is private to it, so all that we know of it stands
in this file; it is used where it gives the same numbers, which is tried once and said in the log.
"""

import logging
from functools import cache

import torch
from jaxtyping import Float, Int8, Int32
from torch import Tensor


def rounded_rows(x: Float[Tensor, "*rows d_in"]) -> tuple[Int8[Tensor, "*rows d_in"], Float[Tensor, "*rows 1"]]:
    """Each row to the nearest of 255 levels, and the distance between two: its largest size over 127 (1 for zeros)."""
    x = x.float()
    scales = x.abs().amax(-1, keepdim=True) / 127
    scales = torch.where(scales > 0, scales, torch.ones_like(scales))
    return (x / scales).round().to(torch.int8), scales


def int8_product(x: Int8[Tensor, "*rows d_in"], weight: Int8[Tensor, "d_out d_in"]) -> Float[Tensor, "*rows d_out"]:
    """x Wᵀ, summed in whole numbers, as floats."""
    rows = x.reshape(-1, x.shape[-1])
    product = torch._int_mm(rows, weight.t()) if _can(x.device.type) else reference(rows, weight)
    return product.float().view(*x.shape[:-1], len(weight))


def reference(x: Int8[Tensor, "rows d_in"], weight: Int8[Tensor, "d_out d_in"]) -> Int32[Tensor, "rows d_out"]:
    """x Wᵀ. Sums of up to 2^39 such products are exact in float64."""
    return (x.double() @ weight.double().t()).to(torch.int32)


@cache
def _can(device: str) -> bool:
    """Whether torch's kernel multiplies as the reference does, on this device."""
    able = all(_agrees(device, *sizes) for sizes in ((1, 64, 48), (3, 576, 64), (33, 130, 7)))
    version = "torch._int_mm" if able else "reference"
    logging.getLogger("firsthand.ops").info("int8 product on %s: version %s", device, version)
    return able


def _agrees(device: str, rows: int, d_in: int, d_out: int) -> bool:
    generator = torch.Generator().manual_seed(0)
    x, weight = (
        torch.randint(-127, 128, (size, d_in), generator=generator).to(torch.int8).to(device) for size in (rows, d_out)
    )
    try:
        return torch.equal(torch._int_mm(x, weight.t()), reference(x, weight))
    except (AttributeError, RuntimeError, TypeError, NotImplementedError):
        return False
