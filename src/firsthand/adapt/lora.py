"""LoRA: a frozen linear map, and a product of two thin matrices that learns what to add to it (arXiv 2106.09685)."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from firsthand.errors import UserError


class LoRALinear(nn.Module):
    """x Wᵀ + b + scale · dropout(x) Aᵀ Bᵀ, where W and b stay as they are (section 4.1, equation 3).

    scale is alpha / rank; `rank_stabilized`: alpha / √rank (arXiv 2312.03732, section 3.2). B begins at zero, so that
    the first outputs are exactly those of `linear`; A is drawn as nn.Linear draws a weight.
    """

    own: tuple[str, ...] = ("lora_a", "lora_b")

    def __init__(
        self, linear: nn.Module, rank: int, alpha: float, dropout: float = 0.0, rank_stabilized: bool = False
    ) -> None:
        super().__init__()
        self.linear: Any = linear.requires_grad_(False)
        self.scale = alpha / (math.sqrt(rank) if rank_stabilized else rank)
        self.dropout = nn.Dropout(dropout)
        self.lora_a, self.lora_b = fresh_pair(linear, rank)

    @property
    def weight(self) -> Float[Tensor, "d_out d_in"]:
        """Of the frozen map, for parts that ask it about dtype and device."""
        weight: Tensor = self.linear.weight
        return weight

    def forward(self, x: Float[Tensor, "*rows d_in"]) -> Float[Tensor, "*rows d_out"]:
        y: Tensor = self.linear(x)
        return y + F.linear(F.linear(self.dropout(x), self.lora_a) * self.scale, self.lora_b)

    def merged(self) -> nn.Linear:
        """One map that does the same: the weight W + scale · B A. The frozen one is left alone."""
        return linear_of(self.weight + self.scale * (self.lora_b @ self.lora_a), self.linear.bias)


class LoRA:
    """Makes a LoRALinear of each map that `targets` names (see `attach`)."""

    own = LoRALinear.own

    def __init__(
        self,
        rank: int = 8,
        alpha: float = 16.0,
        dropout: float = 0.0,
        targets: str | list[str] = "attention",
        rank_stabilized: bool = False,
    ) -> None:
        check_sizes(rank, alpha, dropout)
        self.targets = targets
        self._arguments: dict[str, Any] = {
            "rank": rank,
            "alpha": alpha,
            "dropout": dropout,
            "rank_stabilized": rank_stabilized,
        }

    def __call__(self, linear: nn.Module) -> LoRALinear:
        return LoRALinear(linear, **self._arguments)


def merge_lora(module: LoRALinear) -> nn.Linear:
    """The map that `module` has become. Taking it back is exact: `module.linear` has kept its bits."""
    return module.merged()


def lora_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """What the adapters of a model have learnt, by parameter name; nothing of the model itself."""
    return {
        f"{name}.{own}": getattr(module, own).detach()
        for name, module in model.named_modules()
        if hasattr(module, "merged")
        for own in module.own
    }


def fresh_pair(linear: Any, rank: int) -> tuple[nn.Parameter, nn.Parameter]:
    """A, (rank, d_in), random, and B, (d_out, rank), zero."""
    like = {"device": linear.weight.device, "dtype": linear.weight.dtype}
    a = nn.Parameter(torch.empty(rank, linear.in_features, **like))
    nn.init.kaiming_uniform_(a, a=math.sqrt(5))
    return a, nn.Parameter(torch.zeros(linear.out_features, rank, **like))


@torch.no_grad()
def linear_of(weight: Float[Tensor, "d_out d_in"], bias: Float[Tensor, " d_out"] | None) -> nn.Linear:
    """An nn.Linear with these very numbers."""
    with torch.device("meta"):
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    linear.weight = nn.Parameter(weight.detach(), requires_grad=False)
    linear.register_parameter("bias", None if bias is None else nn.Parameter(bias.detach(), requires_grad=False))
    return linear


def check_sizes(rank: int, alpha: float, dropout: float) -> None:
    """UserError for sizes that make no adapter."""
    if rank < 1 or alpha <= 0 or not 0 <= dropout < 1:
        raise UserError(
            f"adapt.adapter: rank={rank}, alpha={alpha} and dropout={dropout} make no adapter: the rank is at least 1, "
            "alpha above 0, dropout from 0 to below 1."
        )
