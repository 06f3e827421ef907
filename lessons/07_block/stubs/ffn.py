"""The feed-forward part: each token thinks about what it has read, alone."""

from torch import Tensor, nn

from firsthand.model import no_extra_loss  # noqa: F401 - for your forward
from firsthand.model.ffns.activations import gelu  # noqa: F401 - or your own: from activation import gelu


class MLP(nn.Module):
    """down(gelu(up(x))): two linear maps without bias, called up (d_model to d_ff) and down (d_ff to d_model)."""

    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__()
        raise NotImplementedError

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (batch, time, d_model) to (y, extra_loss): y of the same shape, and no_extra_loss(x), which is 0.

        Mixtures of experts have a loss of their own to add, so all feed-forward parts return one.
        """
        raise NotImplementedError
