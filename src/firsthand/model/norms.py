"""Norms keep the scale of activations in hand: LayerNorm, RMSNorm, and a tanh in their place.

Each says as `scale_invariant` whether it forgets the size of its input, so that norm(c · x) = norm(x).
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from firsthand.ops.rms_norm import rms_norm


class LayerNorm(nn.Module):
    """(x - mean) / sqrt(variance + eps) · gain + bias over d_model (Ba et al. 2016, arXiv 1607.06450)."""

    scale_invariant = True

    def __init__(self, d_model: int, eps: float = 1e-5, bias: bool = True) -> None:
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model)) if bias else None

    def forward(self, x: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows d_model"]:
        return F.layer_norm(x, self.gain.shape, self.gain, self.bias, self.eps)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + eps) · gain over d_model (Zhang and Sennrich 2019, arXiv 1910.07467)."""

    scale_invariant = True

    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(d_model))

    def forward(self, x: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows d_model"]:
        return rms_norm(x, self.gain, self.eps)


class DyT(nn.Module):
    """tanh(alpha · x) · gain + bias: no norm but its silhouette (Zhu et al. 2025, arXiv 2503.10622, section 4).

    A trained LayerNorm looks like a tanh of its input: it bends the few large values and lets the others pass. This
    does just that, with one learned steepness for all of d_model, and looks at no other channel: nothing is averaged.
    `alpha` is where the steepness begins: the wider a language model, the smaller (the paper's part on its initial
    value). `gain` is where the gains begin: 1 in the paper; 2.4 gives a normal input unit size again.
    """

    scale_invariant = False

    def __init__(self, d_model: int, alpha: float = 0.5, gain: float = 1.0, bias: bool = True) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.full((1,), float(alpha)))
        self.gain = nn.Parameter(torch.full((d_model,), float(gain)))
        self.bias = nn.Parameter(torch.zeros(d_model)) if bias else None

    def forward(self, x: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows d_model"]:
        y = torch.tanh(self.alpha * x) * self.gain
        return y if self.bias is None else y + self.bias


NORMS: dict[str, Callable[..., nn.Module]] = {"layer_norm": LayerNorm, "rms_norm": RMSNorm, "dyt": DyT}
