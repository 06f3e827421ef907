"""Tables of places, all at once."""

import math

import torch
from torch import Tensor, nn

from firsthand.types import IGNORE


def split(ids: Tensor, fraction: float) -> tuple[Tensor, Tensor]:
    n = int((1 - fraction) * ids.numel())
    return ids[:n].clone(), ids[n:].clone()


def windows(
    ids: Tensor, context_length: int, stride: int | None = None, document: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    step, last = stride or context_length, ids.numel() - 1
    count = math.ceil(last / step)
    if step <= context_length:
        count = 1 + math.ceil(max(0, last - context_length) / step)
    long = torch.cat((ids, ids.new_full((count * step + context_length + 1,), IGNORE)))
    place = torch.arange(count)[:, None] * step + torch.arange(context_length)
    x, y = long[place], long[place + 1]
    if document is not None:
        changes = torch.zeros(len(long), dtype=torch.bool)
        changes[:last] = document[1:] != document[:-1]
        y = y.masked_fill(changes[place], IGNORE)
    return x.masked_fill(place >= last, 0), y


def get_batch(ids: Tensor, batch_size: int, context_length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    chances = torch.ones(len(ids) - context_length)
    start = torch.multinomial(chances, batch_size, replacement=True, generator=generator)
    place = start.unsqueeze(1) + torch.arange(context_length + 1).unsqueeze(0)
    both = ids.gather(0, place.flatten()).view_as(place)
    return both[:, :-1].contiguous(), both[:, 1:].contiguous()


class Embedding(nn.Module):
    def __init__(self, vocab_size: int, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model))

    def forward(self, ids: Tensor) -> Tensor:
        one_hot = nn.functional.one_hot(ids, len(self.weight)).to(self.weight.dtype)
        return one_hot @ self.weight


class Bigram(nn.Module):
    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.embedding = Embedding(vocab_size, vocab_size)
        self.embedding.weight = nn.Parameter(torch.zeros(vocab_size, vocab_size))

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.embedding(ids)
        return logits
