"""One number after another, as on paper."""

import math

import torch
from torch import Tensor, nn

from firsthand.errors import UserError
from firsthand.model import Position


def waves(length: int, d_model: int) -> Tensor:
    table = torch.zeros(length, d_model)
    for n in range(length):
        for i in range(0, d_model, 2):
            angle = n / 10000 ** (i / d_model)
            table[n, i] = math.sin(angle)
            if i + 1 < d_model:
                table[n, i + 1] = math.cos(angle)
    return table


def checked(index: Tensor, length: int) -> Tensor:
    if int(index.max()) >= length:
        raise UserError(f"The context holds {length} tokens. Give shorter input.")
    return index


class SinusoidalPosition(Position):
    def __init__(self, context_length: int, d_model: int) -> None:
        super().__init__()
        self.context_length = context_length
        self.waves = waves(context_length, d_model)

    def embed(self, x: Tensor, index: Tensor) -> Tensor:
        out = x.clone()
        for b, row in enumerate(checked(index, self.context_length).expand(x.shape[:2]).tolist()):
            for t, place in enumerate(row):
                out[b, t] += self.waves[place].to(x.dtype)
        return out


class LearnedPosition(Position):
    def __init__(self, context_length: int, d_model: int) -> None:
        super().__init__()
        self.context_length = context_length
        self.table = nn.Parameter(0.02 * torch.randn(context_length, d_model))

    def embed(self, x: Tensor, index: Tensor) -> Tensor:
        index = checked(index, self.context_length).expand(x.shape[:2])
        rows = [torch.stack([x[b, t] + self.table[int(index[b, t])] for t in range(x.shape[1])]) for b in range(len(x))]
        return torch.stack(rows)


def frequencies(d_head: int, theta: float = 10000.0) -> Tensor:
    return torch.tensor([1 / theta ** (2 * i / d_head) for i in range(d_head // 2)])


class Rope(Position):
    def __init__(self, d_head: int, theta: float = 10000.0) -> None:
        super().__init__()
        self.speeds = frequencies(d_head, theta).tolist()

    def rotate(self, heads: Tensor, index: Tensor) -> Tensor:
        places = index.expand(len(heads), -1)
        out = torch.empty_like(heads)
        for b in range(len(heads)):
            for t in range(heads.shape[2]):
                for i, speed in enumerate(self.speeds):
                    angle = float(places[b, t]) * speed
                    first, second = heads[b, :, t, 2 * i], heads[b, :, t, 2 * i + 1]
                    out[b, :, t, 2 * i] = first * math.cos(angle) - second * math.sin(angle)
                    out[b, :, t, 2 * i + 1] = first * math.sin(angle) + second * math.cos(angle)
        return out
