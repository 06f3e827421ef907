"""AdamW: Adam with decoupled weight decay."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from firsthand.train.optimizers.descent import Descent, kept
from firsthand.train.optimizers.groups import NamedParameters, parameter_groups, width_rates


def adamw(
    named_parameters: NamedParameters,
    lr: float = 1e-3,
    betas: tuple[float, float] | list[float] = (0.9, 0.95),
    eps: float = 1e-8,
    weight_decay: float = 0.1,
    cautious: bool = False,
    width_ratio: float = 1.0,
) -> Optimizer:
    """AdamW (Loshchilov & Hutter 2019, algorithm 2): torch's fused one, or ours where decay is to be cautious."""
    groups = width_rates(parameter_groups(named_parameters, weight_decay), lr, hidden=1 / width_ratio)
    if cautious:
        return Descent(groups, rule, cautious, betas=(betas[0], betas[1]), eps=eps)
    return torch.optim.AdamW(groups, betas=(betas[0], betas[1]), eps=eps, fused=True)


def rule(gradients: list[Tensor], states: list[dict[str, Any]], group: dict[str, Any]) -> list[Tensor]:
    """mean / (sqrt(mean of squares) + eps), both corrected for having begun at zero (Kingma & Ba 2015, algorithm 1).

    The state has the names and the meaning of torch's, so that a run may change between the two.
    """
    first, second = group["betas"]
    mean, square = kept(states, "exp_avg", gradients), kept(states, "exp_avg_sq", gradients)
    steps = kept(states, "step", [gradient.new_zeros((), dtype=torch.float32) for gradient in gradients])
    torch._foreach_add_(steps, 1.0)
    torch._foreach_lerp_(mean, gradients, 1 - first)
    torch._foreach_mul_(square, second)
    torch._foreach_addcmul_(square, gradients, gradients, 1 - second)
    below = list(torch._foreach_div(square, [1 - second**step for step in steps]))
    torch._foreach_sqrt_(below)
    torch._foreach_add_(below, group["eps"])
    directions = list(torch._foreach_div(mean, [1 - first**step for step in steps]))
    torch._foreach_div_(directions, below)
    return directions
