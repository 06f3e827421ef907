"""The causal convolution as one shifted product a tap, added up: runs anywhere, and a compiler fuses it."""

import torch
from torch import Tensor


def causal_convolution(tokens: Tensor, numbers: Tensor | None, taps: Tensor, bias: Tensor | None) -> Tensor:
    """See `firsthand.ops.causal_convolution`. `tokens` and their segments `numbers` begin with the window."""
    width = taps.shape[1]
    time = tokens.shape[1] - width + 1
    y = tokens[:, width - 1 :] * taps[:, -1]
    y = y if bias is None else y + bias
    for k in range(width - 1):
        shifted = tokens[:, k : k + time]
        if numbers is not None:
            same = numbers[:, k : k + time] == numbers[:, width - 1 :]
            shifted = torch.where(same.unsqueeze(-1), shifted, 0)
        y = torch.addcmul(y, shifted, taps[:, k])
    return y
