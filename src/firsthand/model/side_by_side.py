"""Maps that read the same input, side by side."""

from typing import Any

from jaxtyping import Float
from torch import Tensor


def side_by_side(part: Any, x: Float[Tensor, "batch time d_in"]) -> tuple[Float[Tensor, "batch time _"], ...]:
    """What each of the maps that `part.readers` names makes of `x`.

    In training every map multiplies for itself. A model that was packed to generate text (generate/packed.py) has them
    as one matrix, `part.joined`: one product in place of three takes half the time where there is a single row.
    """
    joined = part._modules.get("joined")
    return tuple(getattr(part, name)(x) for name in part.readers) if joined is None else joined(x)
