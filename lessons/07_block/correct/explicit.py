"""Every step on a line of its own: what the slips are edits of."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from firsthand.model import no_extra_loss
from firsthand.types import Place


def wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


class LayerNorm(nn.Module):
    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))

    def forward(self, x: Tensor) -> Tensor:
        inner = wide(x)
        mean = inner.mean(-1, keepdim=True)
        variance = (inner - mean).square().mean(-1, keepdim=True)
        unit = (inner - mean) / (variance + self.eps).sqrt()
        return unit.to(x.dtype) * self.gain + self.bias


class RMSNorm(nn.Module):
    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(d_model))

    def forward(self, x: Tensor) -> Tensor:
        whole = wide(x)
        size = whole.square().mean(-1, keepdim=True)
        scaled = whole / (size + self.eps).sqrt()
        return scaled.to(x.dtype) * self.gain


def gelu(x: Tensor, tanh: bool = False) -> Tensor:
    if tanh:
        cubic = x + 0.044715 * x**3
        return x * 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * cubic))
    below = 0.5 * (1 + torch.erf(x / math.sqrt(2)))
    return x * below


class MLP(nn.Module):
    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__()
        self.up = nn.Linear(d_model, d_ff, bias=False)
        self.down = nn.Linear(d_ff, d_model, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.up(x)
        bent = gelu(hidden)
        y = self.down(bent)
        return y, no_extra_loss(x)


class Block(nn.Module):
    def __init__(self, mixer: nn.Module, ffn: nn.Module, mixer_norm: nn.Module, ffn_norm: nn.Module) -> None:
        super().__init__()
        self.mixer = mixer
        self.ffn = ffn
        self.mixer_norm = mixer_norm
        self.ffn_norm = ffn_norm

    def initial_state(self, batch: int, length: int) -> Any:
        return self.mixer.initial_state(batch, length)

    def state_size(self, length: int) -> int:
        return int(self.mixer.state_size(length))

    def forward(self, x: Tensor, place: Place, state: Any = None) -> tuple[Tensor, Any, Tensor]:
        mixed, state = self.mixer(self.mixer_norm(x), place, state)
        x = x + mixed
        thought, extra_loss = self.ffn(self.ffn_norm(x))
        x = x + thought
        return x, state, extra_loss
