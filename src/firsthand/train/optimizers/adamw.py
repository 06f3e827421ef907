"""AdamW: Adam with decoupled weight decay."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from firsthand.train.optimizers.descent import Descent, Light, kept
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
    """AdamW (Loshchilov & Hutter 2019, algorithm 2): torch's fused kernel, or ours if decay is to be cautious."""
    groups = width_rates(parameter_groups(named_parameters, weight_decay), lr, hidden=1 / width_ratio)
    if cautious:
        return Descent(groups, rule, cautious, betas=(betas[0], betas[1]), eps=eps)
    return FusedAdamW(groups, {"betas": (betas[0], betas[1]), "eps": eps})


class FusedAdamW(Light):
    """torch's kernel, which passes over each weight once; the same numbers and states as torch.optim.AdamW(fused=True).

    Groups hold `lr`, `betas`, `eps` and `weight_decay`, or `settings` has them. All weights are on one device.
    """

    def __init__(self, groups: list[dict[str, Any]], settings: dict[str, Any]) -> None:
        super().__init__(groups, settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None, "the loop computes the gradients"
        for group in self.param_groups:
            weights = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not weights:
                continue
            gradients, states = [parameter.grad for parameter in weights], [self.state[p] for p in weights]
            steps = kept(states, "step", [weight.new_zeros((), dtype=torch.float32) for weight in weights])
            means, squares = kept(states, "exp_avg", weights), kept(states, "exp_avg_sq", weights)
            torch._foreach_add_(steps, 1.0)
            torch._fused_adamw_(
                weights,
                gradients,
                means,
                squares,
                [],
                steps,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )


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
