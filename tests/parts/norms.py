"""A sound norm from a file, and one with each fault that only norms can have."""

import torch
from torch import nn


class Sound(nn.Module):
    """Divides by the mean size of a number, computed in fp32 at least."""

    def __init__(self, d_model):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(d_model))

    def size(self, x):
        return x.to(torch.promote_types(x.dtype, torch.float32)).abs().mean(-1, keepdim=True) + 1e-6

    def forward(self, x):
        return (x / self.size(x)).to(x.dtype) * self.gain


class OfAllTokens(Sound):
    def size(self, x):
        return x.abs().mean() + 1e-6


class Grows(Sound):
    def size(self, x):
        return 1.0


class Squeezes(Sound):
    def size(self, x):
        return super().size(x) + 30.0


class Modest(Sound):
    scale_invariant = False


class DividesByZero(Sound):
    def size(self, x):
        return x.abs().mean(-1, keepdim=True)


class Overflows(Sound):
    def size(self, x):
        return x.square().mean(-1, keepdim=True).sqrt() + 1e-6


class NoGain(Sound):
    def __init__(self, d_model):
        super().__init__(d_model)
        self.gain = nn.Parameter(torch.zeros(d_model))


class GainFirst(Sound):
    def forward(self, x):
        x = x * self.gain
        return (x / self.size(x)).to(x.dtype)
