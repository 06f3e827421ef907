"""Number by number, without torch's frame for optimizers."""

import math

from torch import no_grad


def parameter_groups(named_parameters, weight_decay):
    named = list(named_parameters)
    flat = [one for _, one in named if len(one.shape) == 1]
    return [
        {"params": flat, "weight_decay": 0.0},
        {"params": [one for _, one in named if len(one.shape) > 1], "weight_decay": weight_decay},
    ]


class _Numbers:
    def __init__(self, groups, **settings):
        self.param_groups = [{**settings, **group} for group in groups]
        self.state = {}

    def zero_grad(self, set_to_none=True):
        for group in self.param_groups:
            for one in group["params"]:
                one.grad = None

    def step(self):
        for group in self.param_groups:
            for one in group["params"]:
                if one.grad is not None:
                    with no_grad():
                        self._move(one.view(-1), one.grad.reshape(-1).tolist(), group)

    def _move(self, weights, gradients, group):
        memory = self.state.setdefault(weights.data_ptr(), [(0.0, 0.0)] * len(gradients) + [0])
        t = memory[-1] = memory[-1] + 1
        a, b = group["betas"]
        for i, g in enumerate(gradients):
            m, v = memory[i]
            m, v = m + (1 - a) * (g - m), v + (1 - b) * (g * g - v)
            memory[i] = m, v
            old = weights[i].item()
            step = m / (1 - a**t) / (math.sqrt(v / (1 - b**t)) + group["eps"])
            weights[i] = old - group["lr"] * (step + group["weight_decay"] * old)


def adamw(named_parameters, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1):
    return _Numbers(parameter_groups(named_parameters, weight_decay), lr=lr, betas=betas, eps=eps)
