"""Tables made once: waves by strided columns, rotation as a matrix for each pair."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from firsthand.errors import UserError
from firsthand.model import Position
from firsthand.model.positions.tables import rows


def waves(length: int, d_model: int) -> Tensor:
    column = torch.arange(d_model)
    angles = torch.arange(length).unsqueeze(1) / 10000.0 ** ((column - column % 2) / d_model)
    return torch.sin(angles + column % 2 * torch.pi / 2)


def checked(index: Tensor, length: int) -> Tensor:
    if int(index.max()) >= length:
        raise UserError(f"The context holds {length} tokens. Give shorter input.")
    return index


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
        table = nn.Embedding(context_length, d_model)
        nn.init.normal_(table.weight, std=0.02)
        self.table = table.weight

    def embed(self, x: Tensor, index: Tensor) -> Tensor:
        places = F.one_hot(checked(index, self.context_length), self.context_length).to(x.dtype)
        return torch.einsum("rtc,cd->rtd", places, self.table) + x


def frequencies(d_head: int, theta: float = 10000.0) -> Tensor:
    return 1.0 / torch.pow(torch.tensor(theta, dtype=torch.float64), torch.arange(0, d_head, 2) / d_head)


class Rope(Position):
    table: Tensor

    def __init__(self, d_head: int, theta: float = 10000.0) -> None:
        super().__init__()
        self.context_length = 2048
        angles = torch.arange(self.context_length).unsqueeze(1) * frequencies(d_head, theta)
        cos, sin = torch.cos(angles), torch.sin(angles)
        matrices = torch.stack((torch.stack((cos, -sin), -1), torch.stack((sin, cos), -1)), -2)
        self.register_buffer("table", matrices.float(), persistent=False)

    def rotate(self, heads: Tensor, index: Tensor) -> Tensor:
        turn = self.table[checked(index, len(self.table))].unsqueeze(1).to(heads.dtype)
        pairs = heads.unflatten(-1, (-1, 2)).unsqueeze(-1)
        return (turn @ pairs).squeeze(-1).flatten(-2)
