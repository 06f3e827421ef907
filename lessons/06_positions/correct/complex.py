"""A pair of channels as a complex number; turning is multiplying."""

import torch
from torch import Tensor, nn

from firsthand.model import Position
from firsthand.model.positions.tables import rows


def waves(length: int, d_model: int) -> Tensor:
    half = (d_model + 1) // 2
    angles = torch.outer(
        torch.arange(length), torch.exp(-torch.arange(half) * 2 / d_model * torch.log(torch.tensor(1e4)))
    )
    turning = torch.polar(torch.ones_like(angles), angles)
    return torch.stack((turning.imag, turning.real), -1).reshape(length, 2 * half)[:, :d_model]


class SinusoidalPosition(Position):
    table: Tensor

    def __init__(self, context_length: int, d_model: int) -> None:
        super().__init__()
        self.context_length = context_length
        self.register_buffer("table", waves(context_length, d_model), persistent=False)

    def embed(self, x: Tensor, index: Tensor) -> Tensor:
        return x + rows(self.table, index).to(x.dtype)


class LearnedPosition(Position):
    def __init__(self, context_length: int, d_model: int) -> None:
        super().__init__()
        self.context_length = context_length
        self.table = nn.Parameter(torch.empty(context_length, d_model))
        nn.init.normal_(self.table, std=0.02)

    def embed(self, x: Tensor, index: Tensor) -> Tensor:
        return x + rows(self.table, index)


def frequencies(d_head: int, theta: float = 10000.0) -> Tensor:
    return theta ** (-2 * torch.arange(d_head // 2) / d_head)


class Rope(Position):
    def __init__(self, d_head: int, theta: float = 10000.0) -> None:
        super().__init__()
        self.theta = theta

    def rotate(self, heads: Tensor, index: Tensor) -> Tensor:
        angles = index[:, None, :, None] * frequencies(heads.shape[-1], self.theta)
        pairs = torch.view_as_complex(heads.double().reshape(*heads.shape[:-1], heads.shape[-1] // 2, 2))
        turned = pairs * torch.polar(torch.ones_like(angles), angles).to(pairs.dtype)
        return torch.view_as_real(turned).flatten(-2).to(heads.dtype)
