"""The bend between two linear maps."""

from torch import Tensor


def gelu(x: Tensor, tanh: bool = False) -> Tensor:
    """x · Φ(x), where Φ(x) = (1 + erf(x / √2)) / 2 is how likely a standard normal number is below x.

    `tanh`: the approximation x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))), which GPT-2 uses. Shape and dtype are those
    of x, and x itself stays as it is.
    """
    raise NotImplementedError
