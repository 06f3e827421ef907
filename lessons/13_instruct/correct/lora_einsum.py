"""By einsum; the merged map is a copy that is added to."""

import copy

import torch
from torch import Tensor, nn


class LoRALinear(nn.Module):
    own = ("lora_a", "lora_b")

    def __init__(self, linear: nn.Linear, rank: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.linear = linear
        for one in linear.parameters():
            one.requires_grad = False
        self.lora_a = nn.Parameter(torch.randn(rank, linear.in_features, dtype=linear.weight.dtype) / rank)
        self.lora_b = nn.Parameter(linear.weight.new_zeros(linear.out_features, rank))
        self.ratio, self.p = alpha / rank, dropout

    def forward(self, x: Tensor) -> Tensor:
        dropped = nn.functional.dropout(x, self.p, self.training)
        return self.linear(x) + self.ratio * torch.einsum("...i,ri,or->...o", dropped, self.lora_a, self.lora_b)

    def merged(self) -> nn.Linear:
        return merge_lora(self)


def merge_lora(module: LoRALinear) -> nn.Linear:
    merged = copy.deepcopy(module.linear)
    with torch.no_grad():
        merged.weight += module.ratio * torch.einsum("or,ri->oi", module.lora_b, module.lora_a)
    return merged


def lora_state_dict(model: nn.Module) -> dict[str, Tensor]:
    return {name: one for name, one in model.state_dict().items() if name.rpartition(".")[2].startswith("lora_")}


class LoRA:
    own = LoRALinear.own

    def __init__(self, rank: int = 8, alpha: float = 16.0, dropout: float = 0.0, targets="attention") -> None:
        self.targets, self.given = targets, (rank, alpha, dropout)

    def __call__(self, linear: nn.Linear) -> LoRALinear:
        return LoRALinear(linear, *self.given)
