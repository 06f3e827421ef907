"""What the ranks of the checks train."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Net(nn.Module):
    """Two layers and a vector that only rows with `lucky` use; the first bias may be frozen.

    `reached` is called when the way back arrives at the first layer, behind all others.
    """

    reached: Callable[[], None] | None = None

    def __init__(self, dtype: torch.dtype, frozen: bool = False) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)

        def weight(*shape: int, learns: bool = True) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype), learns)

        self.first, self.bias = weight(5, 3), weight(5, learns=not frozen)
        self.rare = weight(7)
        self.second, self.gain = weight(7, 5), weight(7)

    def forward(self, x: Tensor, lucky: bool) -> Tensor:
        hidden = torch.tanh(x @ self.first.T + self.bias)
        if self.reached is not None:
            reached = self.reached
            hidden.register_hook(lambda _: reached())
        y = hidden @ self.second.T
        return ((y + self.rare if lucky else y) * self.gain).square().sum()
