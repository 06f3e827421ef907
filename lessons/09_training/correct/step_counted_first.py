"""The targets are counted beforehand, so that each microbatch's loss can be divided at once."""

import torch

from firsthand.types import IGNORE


def clip_by_norm(parameters, factor, limit):
    found = list(filter(lambda one: one is not None, (parameter.grad for parameter in parameters)))
    if not found:
        return 0.0
    long = torch.cat([one.flatten() for one in found]) * factor
    norm = torch.linalg.vector_norm(long.double())
    shrink = 1.0 if limit is None else (limit / (norm + 1e-6)).clamp(max=1.0)
    for one, piece in zip(found, (long * shrink).split([one.numel() for one in found]), strict=True):
        one.copy_(piece.view_as(one))
    return float(norm)


def train_step(model, microbatches, objective, optimizer, max_norm=1.0, scale=1.0):
    model.train(True)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    targets = max(1, sum(int(batch.targets.ne(IGNORE).sum()) for batch in microbatches))
    mean = 0.0
    for batch in microbatches:
        share = objective(model, batch).value / targets
        share.mul(scale).backward()
        mean += share.item()
    norm = clip_by_norm(model.parameters(), 1 / scale, max_norm)
    if torch.tensor([mean, norm]).isfinite().all():
        optimizer.step()
    return mean, norm
