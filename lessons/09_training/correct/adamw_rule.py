"""A direction for firsthand's own frame, which adds the decay. Corrections are folded into the step's size."""

import math

import torch

from firsthand.train.optimizers.descent import Descent


def parameter_groups(named_parameters, weight_decay):
    groups = {}
    for _, parameter in reversed(list(named_parameters)):
        groups.setdefault(parameter.dim() > 1, []).append(parameter)
    return [{"params": found, "weight_decay": float(weight_decay if wide else 0)} for wide, found in groups.items()]


def _rule(gradients, states, group):
    (first, second), directions = group["betas"], []
    for gradient, state in zip(gradients, states, strict=True):
        past = state.setdefault("past", [])
        past.append(gradient.clone())
        t = len(past)
        weights = [(1 - first) * first ** (t - 1 - i) for i in range(t)]
        mean = sum(w * g for w, g in zip(weights, past, strict=True)) / sum(weights)
        square = sum((1 - second) * second ** (t - 1 - i) * g.square() for i, g in enumerate(past))
        directions.append(mean / (torch.sqrt(square) / math.sqrt(1 - second**t) + group["eps"]))
    return directions


def adamw(named_parameters, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1):
    groups = [{"lr": lr, **group} for group in parameter_groups(named_parameters, weight_decay)]
    return Descent(groups, _rule, betas=betas, eps=eps)
