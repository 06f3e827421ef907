"""The root-mean-square norm as it is defined."""

from jaxtyping import Float
from torch import Tensor


def rms_norm(
    x: Float[Tensor, "*rows d"], gain: Float[Tensor, " d"] | None = None, eps: float = 1e-5
) -> Float[Tensor, "*rows d"]:
    """x / sqrt(mean(x²) + eps) · gain, the mean over the last axis (arXiv 1910.07467, eq. 4)."""
    y = x / (x.square().mean(-1, keepdim=True) + eps).sqrt()
    return y if gain is None else y * gain
