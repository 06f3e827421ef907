"""Squared ReLU as it is defined."""

from jaxtyping import Float
from torch import Tensor


def squared_relu(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """max(x, 0)² (Primer, arXiv 2109.08668, section 3)."""
    return x.clamp(min=0).square()
