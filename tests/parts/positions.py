"""A sound position scheme from a file, and one with each fault that only position schemes can have."""

import torch
from torch import nn

from firsthand.errors import UserError
from firsthand.model import Position
from firsthand.model.positions.tables import rows


class Sound(Position):
    """A learned size for each place."""

    def __init__(self, context_length):
        super().__init__()
        self.context_length = context_length
        self.table = nn.Parameter(torch.linspace(1, 2, context_length)[:, None])

    def embed(self, x, index):
        return x * rows(self.table, index)


class NoBias(Sound):
    bias = None


class NoContext(nn.Module):
    def embed(self, x, index):
        return x

    def rotate(self, heads, index):
        return heads

    def bias(self, query_index, key_index):
        return None


class SwapsHeads(Sound):
    def rotate(self, heads, index):
        return heads.transpose(1, 2)


class OtherDtype(Sound):
    def rotate(self, heads, index):
        return heads.float()


class FlatBias(Sound):
    def bias(self, query_index, key_index):
        return (query_index[0, :, None] - key_index[0]).double()


class GoesByColumn(Sound):
    def embed(self, x, index):
        return x * rows(self.table, torch.arange(x.shape[1]).unsqueeze(0))


class FirstHeadOnly(Sound):
    def rotate(self, heads, index):
        return torch.cat((heads[:, :1] * index[:, None, :, None], heads[:, 1:]), 1)


class Slip(Position):
    def embedd(self, x, index):
        return x * index.unsqueeze(-1)


class NotBlind(Sound):
    blind = True


class NoEnd(Sound):
    def embed(self, x, index):
        return x * self.table[index % self.context_length]


class SpeaksOfNothing(Sound):
    def embed(self, x, index):
        if int(index.max()) >= self.context_length:
            raise UserError("too far")
        return super().embed(x, index)
