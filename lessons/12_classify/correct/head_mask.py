"""The last token by a mask and a sum."""

import torch
from torch import nn


def pool_last(hidden, lengths):
    last = torch.arange(hidden.shape[1])[None, :] == lengths[:, None] - 1
    return torch.einsum("btd,bt->bd", hidden, last.to(hidden.dtype))


class ClassifierHead(nn.Module):
    def __init__(self, d_model, num_classes):
        super().__init__()
        self.register_parameter("weight", nn.Parameter(torch.empty(num_classes, d_model).fill_(0.0)))
        self.register_parameter("bias", nn.Parameter(torch.empty(num_classes).fill_(0.0)))

    def forward(self, x):
        return torch.einsum("...d,cd->...c", x, self.weight).add(self.bias)
