"""DoRA: LoRA turns each row of a weight, and how long the row is is learnt apart (arXiv 2402.09353)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from firsthand.adapt.lora import check_sizes, fresh_pair, linear_of


class DoRALinear(nn.Module):
    """The weight is magnitude · V / ‖V‖ row by row, with V = W + alpha / rank · B A (section 4.1, equation 5).

    The magnitude begins at ‖W‖, so that the first outputs are exactly those of `linear`. ‖V‖ counts as a constant in
    the backward pass (section 4.3), which saves its gradient and costs no accuracy.
    """

    own: tuple[str, ...] = ("lora_a", "lora_b", "magnitude")

    def __init__(self, linear: nn.Module, rank: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.linear: Any = linear.requires_grad_(False)
        self.scale = alpha / rank
        self.dropout = nn.Dropout(dropout)
        self.lora_a, self.lora_b = fresh_pair(linear, rank)
        self.magnitude = nn.Parameter(self._turned().norm(dim=1))

    @property
    def weight(self) -> Float[Tensor, "d_out d_in"]:
        """Of the frozen map, for parts that ask it about dtype and device."""
        weight: Tensor = self.linear.weight
        return weight

    def forward(self, x: Float[Tensor, "*rows d_in"]) -> Float[Tensor, "*rows d_out"]:
        seen = self.dropout(x)
        turned = F.linear(seen, self.weight) + F.linear(F.linear(seen, self.lora_a) * self.scale, self.lora_b)
        y: Tensor = turned * (self.magnitude / self._turned().norm(dim=1))
        return y if self.linear.bias is None else y + self.linear.bias

    def merged(self) -> nn.Linear:
        """One map that does the same. The frozen one is left alone."""
        turned = self._turned()
        return linear_of(turned * (self.magnitude / turned.norm(dim=1)).unsqueeze(1), self.linear.bias)

    @torch.no_grad()
    def _turned(self) -> Float[Tensor, "d_out d_in"]:
        """V."""
        return self.weight + self.scale * (self.lora_b @ self.lora_a)


class DoRA:
    """Makes a DoRALinear of each map that `targets` names (see `attach`)."""

    own = DoRALinear.own

    def __init__(
        self, rank: int = 8, alpha: float = 16.0, dropout: float = 0.0, targets: str | list[str] = "attention"
    ) -> None:
        check_sizes(rank, alpha, dropout)
        self.targets = targets
        self._arguments: dict[str, Any] = {"rank": rank, "alpha": alpha, "dropout": dropout}

    def __call__(self, linear: nn.Module) -> DoRALinear:
        return DoRALinear(linear, **self._arguments)
