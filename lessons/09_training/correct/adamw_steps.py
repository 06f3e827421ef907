"""One parameter at a time, in the stub's frame. The slips of adamw are edits of this file."""

import torch

from firsthand.train.optimizers.descent import Light


def parameter_groups(named_parameters, weight_decay):
    decays, others = [], []
    for _name, parameter in named_parameters:
        (decays if parameter.dim() >= 2 else others).append(parameter)
    return [{"params": decays, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def adamw_step(parameter, gradient, state, lr, betas, eps, weight_decay):
    if not state:
        state.update(step=0, mean=torch.zeros_like(parameter), square=torch.zeros_like(parameter))
    first, second = betas
    state["step"] += 1
    parameter.mul_(1 - lr * weight_decay)
    state["mean"] = first * state["mean"] + (1 - first) * gradient
    state["square"] = second * state["square"] + (1 - second) * gradient**2
    mean = state["mean"] / (1 - first ** state["step"])
    square = state["square"] / (1 - second ** state["step"])
    parameter.sub_(lr * mean / (square.sqrt() + eps))


class Adam(Light):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    settings = (group[name] for name in ("lr", "betas", "eps", "weight_decay"))
                    adamw_step(parameter, parameter.grad, self.state[parameter], *settings)


def adamw(named_parameters, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1):
    return Adam(parameter_groups(named_parameters, weight_decay), {"lr": lr, "betas": tuple(betas), "eps": eps})
