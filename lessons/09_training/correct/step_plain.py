"""Step by step. The slips of train_step are edits of this file."""

import math


def clip_by_norm(parameters, factor, limit):
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    for gradient in gradients:
        gradient.mul_(factor)
    norm = math.sqrt(sum(float((gradient.double() ** 2).sum()) for gradient in gradients))
    if limit is not None and norm > limit:
        for gradient in gradients:
            gradient.mul_(limit / (norm + 1e-6))
    return norm


def train_step(model, microbatches, objective, optimizer, max_norm=1.0, scale=1.0):
    model.train()
    optimizer.zero_grad()
    total, count = 0.0, 0
    for batch in microbatches:
        loss = objective(model, batch)
        (loss.value * scale).backward()
        total += float(loss.value.detach())
        count += int(loss.count)
    mean = total / max(count, 1)
    norm = clip_by_norm(model.parameters(), 1 / (scale * max(count, 1)), max_norm)
    if math.isfinite(norm) and math.isfinite(mean):
        optimizer.step()
    return mean, norm
