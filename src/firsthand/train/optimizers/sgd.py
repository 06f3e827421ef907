"""Stochastic gradient descent, with momentum: where everything began."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from firsthand.train.optimizers.descent import Descent, kept
from firsthand.train.optimizers.groups import NamedParameters, parameter_groups, width_rates


def sgd(
    named_parameters: NamedParameters,
    lr: float = 0.1,
    momentum: float = 0.9,
    nesterov: bool = True,
    weight_decay: float = 0.0,
    cautious: bool = False,
    width_ratio: float = 1.0,
) -> Optimizer:
    """m <- momentum · m + g; the direction is m, or with `nesterov` g + momentum · m.

    Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning", section 2. Decay
    is decoupled from the gradient (Loshchilov & Hutter 2019, algorithm 1). `momentum` = 0 keeps no state.
    """
    groups = width_rates(parameter_groups(named_parameters, weight_decay), lr, others=width_ratio)
    return Descent(groups, rule, cautious, momentum=momentum, nesterov=nesterov)


def rule(gradients: list[Tensor], states: list[dict[str, Any]], group: dict[str, Any]) -> list[Tensor]:
    if not group["momentum"]:
        return gradients
    momentum = kept(states, "momentum", gradients)
    torch._foreach_mul_(momentum, group["momentum"])
    torch._foreach_add_(momentum, gradients)
    if not group["nesterov"]:
        return momentum
    return list(torch._foreach_add(gradients, momentum, alpha=group["momentum"]))
