"""A head that names classes, in the place of the one that names tokens."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from firsthand.model.language_model import LanguageModel


class ClassifierHead(nn.Module):
    """Logits of `num_classes` classes: x Wᵀ + b. It begins at zero, so that every class is equally likely at first."""

    def __init__(self, d_model: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_classes, d_model))
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, x: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows classes"]:
        return F.linear(x, self.weight, self.bias)


def pool_last(
    hidden: Float[Tensor, "batch time d_model"], lengths: Int[Tensor, " batch"]
) -> Float[Tensor, "batch d_model"]:
    """What the model thinks at the last real token of each row: the only one that has read all of it.

    `lengths`: how many tokens of a row are real; padding stands behind them.
    """
    return hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1]


def put_head(model: LanguageModel, num_classes: int) -> None:
    """Give the model a head for classes. An embedding that was the old head stays as the embedding."""
    weight = model.embedding.weight
    model.unembedding = ClassifierHead(weight.shape[1], num_classes).to(weight.device)
