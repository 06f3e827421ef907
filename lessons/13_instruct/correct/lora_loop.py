"""Rank by rank: the change is a sum of `rank` outer products."""

import math

import torch
from torch import Tensor, nn


class LoRALinear(nn.Module):
    own = ("lora_a", "lora_b")

    def __init__(self, linear: nn.Linear, rank: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.linear = linear
        self.linear.weight.requires_grad_(False)
        if linear.bias is not None:
            self.linear.bias.requires_grad_(False)
        bound = 1 / math.sqrt(linear.in_features)
        self.lora_a = nn.Parameter((torch.rand(rank, linear.in_features) * 2 * bound - bound).to(linear.weight.dtype))
        self.lora_b = nn.Parameter(torch.zeros(linear.out_features, rank, dtype=linear.weight.dtype))
        self.dropout = nn.Dropout(dropout)
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        y, thin = self.linear(x), self.dropout(x)
        for a, b in zip(self.lora_a, self.lora_b.T, strict=True):
            y = y + (thin * a).sum(-1, keepdim=True) * b * (self.alpha / len(self.lora_a))
        return y

    def merged(self) -> nn.Linear:
        return merge_lora(self)


def merge_lora(module: LoRALinear) -> nn.Linear:
    weight = module.linear.weight.detach().clone()
    for a, b in zip(module.lora_a.detach(), module.lora_b.detach().T, strict=True):
        weight += module.alpha / len(module.lora_a) * torch.outer(b, a)
    merged = nn.Linear(weight.shape[1], weight.shape[0], module.linear.bias is not None)
    merged.weight = nn.Parameter(weight)
    if module.linear.bias is not None:
        merged.bias = nn.Parameter(module.linear.bias.detach().clone())
    return merged


def lora_state_dict(model: nn.Module) -> dict[str, Tensor]:
    return {name: one.detach() for name, one in model.named_parameters() if ".lora_a" in name or ".lora_b" in name}


class LoRA:
    own = LoRALinear.own

    def __init__(self, rank: int = 8, alpha: float = 16.0, dropout: float = 0.0, targets: str = "attention") -> None:
        self.targets, self.kept = targets, {"rank": rank, "alpha": alpha, "dropout": dropout}

    def __call__(self, linear: nn.Linear) -> LoRALinear:
        return LoRALinear(linear, **self.kept)
