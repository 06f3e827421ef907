"""Row by row. One slip of pool_and_head is an edit of this file."""

import torch
from torch import nn


def pool_last(hidden, lengths):
    return torch.stack([row[length - 1] for row, length in zip(hidden, lengths.tolist(), strict=True)])


class ClassifierHead(nn.Module):
    def __init__(self, d_model, num_classes):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_classes, d_model))
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x):
        return (x.unsqueeze(-2) * self.weight).sum(-1) + self.bias
