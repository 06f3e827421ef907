"""Plain Python on lists."""

from collections import Counter

from torch import tensor


def label_map(labels):
    return {label: i for i, label in enumerate(sorted(Counter(labels)))}


def _said(logits):
    return [max(range(len(row)), key=row.__getitem__) for row in logits.tolist()]


def accuracy(logits, labels):
    pairs = list(zip(_said(logits), labels.tolist(), strict=True))
    return sum(a == b for a, b in pairs) / len(pairs)


def confusion(logits, labels):
    counts = Counter(zip(labels.tolist(), _said(logits), strict=True))
    classes = range(logits.shape[-1])
    return tensor([[counts[true, taken] for taken in classes] for true in classes])


def f1(logits, labels, positive):
    outcomes = Counter((a == positive, b == positive) for a, b in zip(_said(logits), labels.tolist(), strict=True))
    wrong = outcomes[True, False] + outcomes[False, True]
    below = 2 * outcomes[True, True] + wrong
    return 2 * outcomes[True, True] / below if below else 0.0
