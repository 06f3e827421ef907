"""Lists and loops; tensors are made at the end."""

import torch
from torch import Tensor, nn

from firsthand.types import IGNORE


def split(ids: Tensor, fraction: float) -> tuple[Tensor, Tensor]:
    held_out = round(len(ids) * fraction)
    return ids[:-held_out], ids[-held_out:]


def windows(
    ids: Tensor, context_length: int, stride: int | None = None, document: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    text, step = ids.tolist(), context_length if stride is None else stride
    inputs, targets, start, seen = [], [], 0, 0
    while seen < len(text) - 1 and start < len(text) - 1:
        row, goal = [], []
        for t in range(start, start + context_length):
            if t + 1 < len(text):
                row.append(text[t])
                other = document is not None and int(document[t]) != int(document[t + 1])
                goal.append(IGNORE if other else text[t + 1])
            else:
                row.append(0)
                goal.append(IGNORE)
        inputs.append(row)
        targets.append(goal)
        seen = start + context_length
        start += step
    return torch.tensor(inputs), torch.tensor(targets)


def get_batch(ids: Tensor, batch_size: int, context_length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    rows = []
    for _ in range(batch_size):
        start = int(torch.randint(0, len(ids) - context_length, (1,), generator=generator))
        rows.append(ids[start : start + context_length + 1])
    whole = torch.stack(rows)
    return whole[:, :-1], whole[:, 1:]


class Embedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocab_size, d_model).normal_())

    def forward(self, ids: Tensor) -> Tensor:
        return torch.stack([torch.stack([self.weight[int(i)] for i in row]) for row in ids])


class Bigram(nn.Module):
    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.embedding = Embedding(vocab_size, vocab_size)
        self.embedding.weight.data.zero_()

    def forward(self, ids: Tensor) -> Tensor:
        return self.embedding(ids)
