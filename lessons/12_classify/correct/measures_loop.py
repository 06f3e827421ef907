"""Row by row, by counting. The slips of measures are edits of this file."""

import torch


def label_map(labels):
    found = {}
    for label in sorted(set(labels)):
        found[label] = len(found)
    return found


def accuracy(logits, labels):
    predicted = logits.argmax(-1)
    right = (predicted == labels).sum()
    return float(right) / len(labels)


def confusion(logits, labels):
    classes = logits.shape[1]
    table = torch.zeros(classes, classes, dtype=torch.int64)
    predicted = logits.argmax(-1)
    for true, taken in zip(labels.tolist(), predicted.tolist(), strict=True):
        table[true, taken] += 1
    return table


def f1(logits, labels, positive):
    table = confusion(logits, labels)
    right = int(table[positive, positive])
    said, there = int(table[:, positive].sum()), int(table[positive].sum())
    if right == 0:
        return 0.0
    precision, recall = right / said, right / there
    return 2 * precision * recall / (precision + recall)
