"""From a text to one answer: what the last token has read, and a head that names classes."""

from torch import Tensor, nn


def pool_last(hidden: Tensor, lengths: Tensor) -> Tensor:
    """hidden (batch, time, d_model) and lengths (batch) to (batch, d_model): row by row, what stands at the last token.

    The first lengths[b] tokens of row b are real; the padding stands behind them.
    """
    raise NotImplementedError


class ClassifierHead(nn.Module):
    """x (..., d_model) to logits (..., num_classes): x Wᵀ + b.

    Its parameters are `weight` (num_classes, d_model) and `bias` (num_classes). Both begin at zero.
    """

    def __init__(self, d_model: int, num_classes: int) -> None:
        super().__init__()
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError
