"""A Linear that begins at zero, and gather."""

from torch import nn


def pool_last(hidden, lengths):
    index = (lengths - 1).view(-1, 1, 1).expand(-1, 1, hidden.shape[-1])
    return hidden.gather(1, index).squeeze(1)


class ClassifierHead(nn.Linear):
    def __init__(self, d_model, num_classes):
        super().__init__(d_model, num_classes)
        for one in (self.weight, self.bias):
            nn.init.zeros_(one)

    def forward(self, x):
        return super().forward(x)
