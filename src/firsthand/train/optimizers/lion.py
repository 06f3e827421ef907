"""Lion: only the sign of the momentum counts, so every weight moves by the same amount."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from firsthand.train.optimizers.descent import Descent, kept
from firsthand.train.optimizers.groups import NamedParameters, parameter_groups, width_rates


def lion(
    named_parameters: NamedParameters,
    lr: float = 1e-3,
    betas: tuple[float, float] | list[float] = (0.9, 0.99),
    weight_decay: float = 0.1,
    cautious: bool = False,
    width_ratio: float = 1.0,
) -> Optimizer:
    """sign(β1 · m + (1 - β1) · g), then m <- β2 · m + (1 - β2) · g (Chen et al. 2023, arXiv 2302.06675, algorithm 2).

    Half of AdamW's memory. Its steps are larger, so it wants a rate 3 to 10 times smaller than AdamW's, and a weight
    decay as many times larger (section 5). The defaults suit small models, for which AdamW's best rate is about 3e-3.
    """
    groups = width_rates(parameter_groups(named_parameters, weight_decay), lr, hidden=1 / width_ratio)
    return Descent(groups, rule, cautious, betas=(betas[0], betas[1]))


def rule(gradients: list[Tensor], states: list[dict[str, Any]], group: dict[str, Any]) -> list[Tensor]:
    first, second = group["betas"]
    momentum = kept(states, "momentum", gradients)
    directions = list(torch._foreach_lerp(momentum, gradients, 1 - first))
    torch._foreach_sign_(directions)
    torch._foreach_lerp_(momentum, gradients, 1 - second)
    return directions
