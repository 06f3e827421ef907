"""As torch's own functions have it. It passes, with notes."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LayerNorm(nn.Module):
    def __init__(self, d_model, eps=1e-5):
        super().__init__()
        self.gain, self.bias = nn.Parameter(torch.ones(d_model)), nn.Parameter(torch.zeros(d_model))
        self.eps = eps

    def forward(self, x):
        return F.layer_norm(x, x.shape[-1:], self.gain, self.bias, self.eps)


class RMSNorm(nn.Module):
    def __init__(self, d_model, eps=1e-5):
        super().__init__()
        self.register_parameter("gain", nn.Parameter(torch.ones(d_model)))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, x.shape[-1:], self.gain, self.eps)


def gelu(x: Tensor, tanh: bool = False) -> Tensor:
    return F.gelu(x, approximate="tanh") if tanh else F.gelu(x)


class MLP(nn.Module):
    def __init__(self, d_model, d_ff):
        super().__init__()
        self.up, self.down = nn.Linear(d_model, d_ff, False), nn.Linear(d_ff, d_model, False)

    def forward(self, x):
        return F.linear(F.gelu(F.linear(x, self.up.weight)), self.down.weight), torch.tensor(0.0)


class Block(nn.Module):
    def __init__(self, mixer, ffn, mixer_norm, ffn_norm):
        super().__init__()
        for name, part in {"mixer": mixer, "ffn": ffn, "mixer_norm": mixer_norm, "ffn_norm": ffn_norm}.items():
            self.add_module(name, part)

    def initial_state(self, batch, length):
        return self.mixer.initial_state(batch, length)

    def state_size(self, length):
        return self.mixer.state_size(length)

    def forward(self, x, place, state=None):
        y, after = self.mixer(self.mixer_norm(x), place, state=state)
        y = torch.add(y, x)
        z, extra = self.ffn(self.ffn_norm(y))
        return torch.add(z, y), after, extra
