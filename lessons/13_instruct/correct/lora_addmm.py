"""The change as one matrix, added to the weight before the product; dropout by a second way."""

import torch
from torch import nn


class LoRALinear(nn.Module):
    own = ("lora_a", "lora_b")

    def __init__(self, linear, rank, alpha, dropout=0.0) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.drop = nn.Dropout(dropout)
        a = torch.nn.Linear(linear.in_features, rank, bias=False).to(linear.weight.dtype)
        self.lora_a = a.weight
        self.lora_b = nn.Parameter(torch.zeros(linear.out_features, rank).to(linear.weight))
        self.alpha, self.rank = alpha, rank

    def change(self):
        return (self.lora_b @ self.lora_a) * self.alpha / self.rank

    def forward(self, x):
        return self.linear(x) + self.drop(x) @ self.change().T

    def merged(self):
        return merge_lora(self)


def merge_lora(module):
    out, wide = module.linear.weight.shape
    made = nn.Linear(wide, out, bias=module.linear.bias is not None, dtype=module.linear.weight.dtype)
    state = {"weight": module.linear.weight + module.change().detach()}
    if module.linear.bias is not None:
        state["bias"] = module.linear.bias
    made.load_state_dict(state)
    return made


def lora_state_dict(model):
    found = {}
    for name, part in model.named_modules():
        if isinstance(part, LoRALinear):
            found[f"{name}.lora_a"], found[f"{name}.lora_b"] = part.lora_a.data, part.lora_b.data
    return found


class LoRA:
    own = LoRALinear.own

    def __init__(self, rank=8, alpha=16.0, dropout=0.0, targets="attention") -> None:
        self.rank, self.alpha, self.dropout, self.targets = rank, alpha, dropout, targets

    def __call__(self, linear):
        return LoRALinear(linear, self.rank, self.alpha, self.dropout)
