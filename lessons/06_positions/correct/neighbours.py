"""x cos + partner(x) sin, with the partners by slices; what is known about a place in one lookup."""

import torch
from torch import Tensor, nn

from firsthand.errors import UserError
from firsthand.model import Position


def waves(length: int, d_model: int) -> Tensor:
    table = torch.zeros(length, d_model, dtype=torch.float64)
    place = torch.arange(length, dtype=torch.float64).view(-1, 1)
    speed = torch.pow(10000.0, -torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)
    table[:, 0::2] = torch.sin(place * speed)
    table[:, 1::2] = torch.cos(place * speed[: d_model // 2])
    return table


def checked(index: Tensor, length: int) -> Tensor:
    if int(index.max()) >= length:
        raise UserError(f"The context holds {length} tokens. Give shorter input.")
    return index


class SinusoidalPosition(Position):
    def __init__(self, context_length: int, d_model: int) -> None:
        super().__init__()
        self.context_length, self.d_model = context_length, d_model

    def embed(self, x: Tensor, index: Tensor) -> Tensor:
        table = waves(self.context_length, self.d_model).to(x)
        return table.index_select(0, checked(index, self.context_length).reshape(-1)).reshape(*index.shape, -1).add(x)


class LearnedPosition(Position):
    def __init__(self, context_length: int, d_model: int) -> None:
        super().__init__()
        self.context_length = context_length
        self.table = nn.Parameter(torch.randn((context_length, d_model)).mul(0.02))

    def embed(self, x: Tensor, index: Tensor) -> Tensor:
        rows = self.table.index_select(0, checked(index, self.context_length).reshape(-1)).reshape(*index.shape, -1)
        return x.add(rows)


def frequencies(d_head: int, theta: float = 10000.0) -> Tensor:
    powers = torch.linspace(0, 1 - 2 / d_head, d_head // 2, dtype=torch.float64)
    return torch.tensor(theta, dtype=torch.float64) ** -powers


class Rope(Position):
    def __init__(self, d_head: int, theta: float = 10000.0) -> None:
        super().__init__()
        self.speed = frequencies(d_head, theta).repeat_interleave(2)

    def rotate(self, heads: Tensor, index: Tensor) -> Tensor:
        angles = (index.unsqueeze(-1) * self.speed.to(index.device)).unsqueeze(1)
        partner = torch.zeros_like(heads)
        partner[..., 0::2] = -heads[..., 1::2]
        partner[..., 1::2] = heads[..., 0::2]
        return (heads * angles.cos() + partner * angles.sin()).to(heads.dtype)
