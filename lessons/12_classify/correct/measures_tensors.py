"""Without a loop: one-hot rows multiplied."""

import torch
from torch.nn.functional import one_hot


def label_map(labels):
    return dict(zip(ordered := sorted({*labels}), range(len(ordered)), strict=True))


def accuracy(logits, labels):
    return logits.max(dim=1).indices.eq(labels).float().mean().item()


def confusion(logits, labels):
    n = logits.size(1)
    return one_hot(labels, n).T @ one_hot(torch.max(logits, dim=1).indices, n)


def f1(logits, labels, positive):
    said, true = logits.argmax(dim=-1) == positive, labels == positive
    both = (said & true).sum()
    return (2 * both / (said.sum() + true.sum()).clamp(min=1)).double().item() if both else 0.0
