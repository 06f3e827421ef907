"""The step that our own optimizers share: a rule turns gradients into directions, and the weights go there."""

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.optim import Optimizer

Rule: TypeAlias = Callable[[list[Tensor], list[dict[str, Any]], dict[str, Any]], list[Tensor]]
"""(gradients, the state of each parameter, the group's settings) -> directions; keeps what it needs in the states."""


class Light(Optimizer):
    """torch's optimizer without its compiler, which it loads (1.2 s of one core) to say that it is not to be compiled.

    The two methods that do so are called as torch wrote them, undecorated; a `step` of torch's own optimizers does it
    too, so that ours are written out.
    """

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        inspect.unwrap(Optimizer.add_param_group)(self, param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        inspect.unwrap(Optimizer.zero_grad)(self, set_to_none)


class Descent(Light):
    """weight - lr · (rule's direction + weight_decay · weight), for each parameter that has a gradient.

    With `cautious`, decay acts only on coordinates that the direction moves towards zero anyway, so that it never
    works against the gradient (Chen et al. 2025, arXiv 2510.12402, algorithm 1).
    """

    def __init__(self, groups: list[dict[str, Any]], rule: Rule, cautious: bool = False, **settings: Any) -> None:
        super().__init__(groups, {"cautious": cautious, **settings})
        self.rule = rule

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None, "the loop computes the gradients"
        for group in self.param_groups:
            weights = [parameter for parameter in group["params"] if parameter.grad is not None]
            if weights:
                directions = self.rule([p.grad for p in weights], [self.state[p] for p in weights], group)
                decay(weights, directions, group["lr"] * group["weight_decay"], group["cautious"])
                torch._foreach_add_(weights, directions, alpha=-group["lr"])


def decay(weights: list[Tensor], directions: list[Tensor], rate: float, cautious: bool) -> None:
    """Take the share `rate` off every weight; if `cautious`, only where the direction has the weight's sign."""
    if not rate:
        return
    if not cautious:
        torch._foreach_mul_(weights, 1 - rate)
        return
    agree = torch._foreach_mul(directions, weights)
    keep = [torch.where(product >= 0, 1 - rate, 1.0) for product in agree]
    torch._foreach_mul_(weights, keep)


def kept(states: list[dict[str, Any]], slot: str, like: list[Tensor]) -> list[Tensor]:
    """What each parameter's state holds under this name: zeros at first."""
    for state, tensor in zip(states, like, strict=True):
        if slot not in state:
            state[slot] = torch.zeros_like(tensor)
    return [state[slot] for state in states]
