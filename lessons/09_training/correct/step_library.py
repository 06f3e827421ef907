"""With torch's clipping. It passes, with a note."""

import math

import torch
from torch.nn.utils import clip_grad_norm_


def clip_by_norm(parameters, factor, limit):
    learning = [one for one in parameters if one.grad is not None]
    for one in learning:
        one.grad *= factor
    return clip_grad_norm_(learning, math.inf if limit is None else limit).item()


def train_step(model, microbatches, objective, optimizer, max_norm=1.0, scale=1.0):
    model.train()
    losses, counts = [], []
    for batch in microbatches:
        loss = objective(model, batch)
        torch.autograd.backward(loss.value, torch.full_like(loss.value, scale))
        losses.append(loss.value.item())
        counts.append(loss.count.item())
    targets = sum(counts) or 1
    norm = clip_by_norm(list(model.parameters()), 1 / targets / scale, max_norm)
    if norm == norm and norm != math.inf and math.isfinite(sum(losses)):
        optimizer.step()
    optimizer.zero_grad()
    return sum(losses) / targets, norm
