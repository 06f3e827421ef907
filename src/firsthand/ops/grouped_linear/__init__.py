"""A linear map for each group of rows: what experts are made of. No row is dropped and none is padded."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from firsthand.ops.choice import version_called
from firsthand.ops.grouped_linear import sliced
from firsthand.ops.grouped_linear.reference import grouped_linear as _definition

VERSIONS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "reference": _definition,
    "sliced": sliced.grouped_linear,
}


def grouped_linear(
    x: Float[Tensor, "rows d_in"],
    weight: Float[Tensor, "groups d_out d_in"],
    counts: Int[Tensor, " groups"],
    version: str = "sliced",
) -> Float[Tensor, "rows d_out"]:
    """Row r of x times the matrix of its group; the first counts[0] rows are group 0, the next counts[1] group 1 …

    The counts must add up to the rows. Under autocast it computes in autocast's type, as F.linear does. UserError for
    a version that is not in VERSIONS.
    """
    if torch.is_autocast_enabled(x.device.type):
        lower = torch.get_autocast_dtype(x.device.type)
        x, weight = x.to(lower), weight.to(lower)
    return version_called("grouped_linear", VERSIONS, version)(x, weight, counts)
