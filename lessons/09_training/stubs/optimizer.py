"""AdamW: each weight moves by the mean of its gradients over the root of their mean square."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from firsthand.train.optimizers.descent import Light


def parameter_groups(named_parameters: Iterable[tuple[str, nn.Parameter]], weight_decay: float) -> list[dict[str, Any]]:
    """Groups of parameters as optimizers take them: [{"params": [...], "weight_decay": ...}, ...].

    Every parameter is in exactly one group. Those with two axes or more (matrices, tables) decay by `weight_decay`;
    those with one (gains of norms, biases) do not, and have 0.0 there.
    """
    raise NotImplementedError


def adamw_step(
    parameter: Tensor,
    gradient: Tensor,
    state: dict[str, Any],
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> None:
    """Change `parameter` in place, by one step. `gradient` stays as it is.

    `state` is this parameter's own, empty at first: keep what the next step needs in it. In order: the parameter
    shrinks by the share lr · weight_decay; then it moves by lr · mean / (√square + eps), where mean and square
    are corrected for having begun at zero.
    """
    raise NotImplementedError


class Adam(Light):
    """Given: torch's Optimizer, which keeps groups and states, around your step."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    settings = (group[name] for name in ("lr", "betas", "eps", "weight_decay"))
                    adamw_step(parameter, parameter.grad, self.state[parameter], *settings)


def adamw(
    named_parameters: list[tuple[str, nn.Parameter]],
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.95),
    eps: float = 1e-8,
    weight_decay: float = 0.1,
) -> Adam:
    """Given: the optimizer as a run asks for it."""
    return Adam(parameter_groups(named_parameters, weight_decay), {"lr": lr, "betas": tuple(betas), "eps": eps})
