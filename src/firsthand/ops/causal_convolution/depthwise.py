"""The causal convolution on a CPU: the library's depthwise kernel both ways, and a gradient written by hand.

The kernel is fast where channels stand last, which is how our tokens stand. The gradient of its input is the same
convolution with the taps turned round; only the taps' own gradient is a sum over tokens, done a few at a time.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

BLOCK_NUMBERS = 1 << 19
"""The taps' gradient holds about so many products at once: they stay in the cache."""


def causal_convolution(tokens: Tensor, numbers: Tensor | None, taps: Tensor, bias: Tensor | None) -> Tensor:
    """See `firsthand.ops.causal_convolution`. `tokens` and their segments `numbers` begin with the window."""
    y: Tensor = _Depthwise.apply(tokens, taps, bias)  # type: ignore[no-untyped-call]
    return y if numbers is None else _mended(y, tokens, numbers, taps, bias)


def _mended(y: Tensor, tokens: Tensor, numbers: Tensor, taps: Tensor, bias: Tensor | None) -> Tensor:
    """y with the few tokens computed anew whose window reaches back over a border."""
    lags = torch.arange(taps.shape[1], device=y.device)
    row, time = (numbers[:, : y.shape[1]] != numbers[:, taps.shape[1] - 1 :]).nonzero(as_tuple=True)
    places = row.unsqueeze(1), time.unsqueeze(1) + lags
    same = numbers[places] == numbers[places][:, -1:]
    mended = (torch.where(same.unsqueeze(-1), tokens[places], 0) * taps.t()).sum(1)
    return y.index_put((row, time), mended if bias is None else mended + bias)


class _Depthwise(torch.autograd.Function):
    """(batch, past + time, channels) to (batch, time, channels)."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, taps: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(tokens, taps)
        ctx.has_bias = bias is not None
        return _convolve(tokens, taps, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        tokens, taps = ctx.saved_tensors
        channels, width = taps.shape
        tokens_grad = _convolve(F.pad(grad, (0, 0, width - 1, width - 1)), taps.flip(1), None)
        grad = grad.contiguous()
        rows = max(1, BLOCK_NUMBERS // taps.numel())
        exact = torch.promote_types(grad.dtype, torch.float32)
        buffer = torch.empty(rows, width, channels, dtype=exact, device=grad.device)
        ones = torch.ones(rows, dtype=exact, device=grad.device)
        taps_grad, bias_grad = torch.zeros_like(buffer[0]), torch.zeros_like(buffer[0, 0])
        for b in range(len(grad)):
            for start in range(0, grad.shape[1], rows):
                here = grad[b, start : start + rows]
                count = len(here)
                seen = tokens[b, start : start + count + width - 1].unfold(0, width, 1).transpose(1, 2)
                products = torch.mul(here.unsqueeze(1), seen, out=buffer[:count])
                taps_grad += (ones[:count] @ products.flatten(1)).view(width, channels)
                if ctx.has_bias:
                    bias_grad += ones[:count] @ here.to(exact)
        return tokens_grad, taps_grad.t().to(taps.dtype), bias_grad.to(taps.dtype) if ctx.has_bias else None


def _convolve(tokens: Tensor, taps: Tensor, bias: Tensor | None) -> Tensor:
    """As a picture one token high, whose memory already has its channels last."""
    picture = tokens.contiguous().transpose(1, 2).unsqueeze(2)
    with torch.autocast(tokens.device.type, enabled=False):  # else it would round what is not bf16 already
        return F.conv2d(picture, taps[:, None, None], bias, groups=len(taps)).squeeze(2).transpose(1, 2)
