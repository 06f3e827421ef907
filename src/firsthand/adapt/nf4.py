"""NF4: a frozen weight in 4 bits a number, each block of 64 with a scale of its own (QLoRA, arXiv 2305.14314)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from firsthand.adapt.lora import linear_of
from firsthand.ops.quantized.nf4 import BLOCK, dequantize, quantize

SCALES = 256
"""So many scales share one of their own, where they are quantized too."""


class NF4Linear(nn.Module):
    """A linear map that never learns, half a byte a weight; each product has the weight in full for a moment.

    With `double`, the scales less their mean are 8-bit floats, SCALES of them with one scale (section 3, "Double
    Quantization"): 0.13 bits a weight in place of 0.5. The 8 bits are torch's float8_e4m3fn.
    """

    own: tuple[str, ...] = ()

    def __init__(self, linear: nn.Linear, double: bool = True) -> None:
        super().__init__()
        self.out_features, self.in_features, self.doubled = linear.out_features, linear.in_features, double
        codes, scales = quantize(linear.weight)
        self.codes: Tensor
        self.scales: Tensor
        self.register_buffer("codes", codes, persistent=False)
        if double:
            mean = scales.mean()
            rest = F.pad(scales - mean, (0, -len(scales) % SCALES)).view(-1, SCALES)
            units = (rest.abs().amax(1, keepdim=True) / 448.0).clamp_min(torch.finfo(torch.float32).tiny)
            self.units: Tensor
            self.mean: Tensor
            self.register_buffer("units", units, persistent=False)
            self.register_buffer("mean", mean, persistent=False)
            scales = (rest / units).to(torch.float8_e4m3fn)
        self.register_buffer("scales", scales, persistent=False)
        self.bias = linear.bias
        self.requires_grad_(False)

    @property
    def weight(self) -> Float[Tensor, "d_out d_in"]:
        """The numbers that the map multiplies with, made anew at each call."""
        return dequantize(self.codes, self._scales(), self.out_features, self.in_features)

    def forward(self, x: Float[Tensor, "*rows d_in"]) -> Float[Tensor, "*rows d_out"]:
        shape = (self.out_features, self.in_features)
        y: Tensor = _Product.apply(x, self.codes, self._scales(), shape)  # type: ignore[no-untyped-call]
        return y if self.bias is None else y + self.bias

    def merged(self) -> nn.Linear:
        """The same map with its weight in full."""
        return linear_of(self.weight, self.bias)

    def _scales(self) -> Float[Tensor, " blocks"]:
        if not self.doubled:
            return self.scales
        return ((self.scales.float() * self.units).flatten() + self.mean)[: -(-len(self.codes) * 2 // BLOCK)]


class _Product(torch.autograd.Function):
    """x Wᵀ. What is kept for the way back is W's codes; W itself is made again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, codes: Tensor, scales: Tensor, shape: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(codes, scales)
        ctx.shape, ctx.dtype = shape, x.dtype
        return F.linear(x, dequantize(codes, scales, *shape).to(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        codes, scales = ctx.saved_tensors
        return (grad @ dequantize(codes, scales, *ctx.shape).to(grad.dtype)).to(ctx.dtype), None, None, None


class NF4:
    """Makes an NF4Linear of a map."""

    def __init__(self, double: bool = True) -> None:
        self._double = double

    def __call__(self, linear: nn.Linear) -> NF4Linear:
        return NF4Linear(linear, self._double)
