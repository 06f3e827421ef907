"""What torch has: unfold, pad, nn.Embedding."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from firsthand.types import IGNORE


def split(ids: Tensor, fraction: float) -> tuple[Tensor, Tensor]:
    held_out = int(len(ids) * fraction)
    train, validation = torch.split(ids, [len(ids) - held_out, held_out])
    return train, validation


def windows(
    ids: Tensor, context_length: int, stride: int | None = None, document: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    step = stride or context_length
    x, y = ids[:-1], ids[1:].clone()
    if document is not None:
        y[document[:-1] != document[1:]] = IGNORE
    n = len(x)
    missing = context_length - n if n < context_length else -(n - context_length) % step
    if step > context_length:  # the last window may lie in what would be a gap
        missing = (n - 1) // step * step + context_length - n
    missing = max(missing, 0)
    return F.pad(x, (0, missing)).unfold(0, context_length, step), F.pad(y, (0, missing), value=IGNORE).unfold(
        0, context_length, step
    )


def get_batch(ids: Tensor, batch_size: int, context_length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    pieces = ids.unfold(0, context_length + 1, 1)
    chosen = pieces[torch.randint(len(pieces), (batch_size,), generator=generator)]
    return chosen[:, :-1], chosen[:, 1:]


class Embedding(nn.Embedding):
    """Called as the stub's: vocab_size and d_model."""

    def __init__(self, vocab_size: int, d_model: int) -> None:
        super().__init__(num_embeddings=vocab_size, embedding_dim=d_model)

    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(ids)


class Bigram(nn.Module):
    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(torch.zeros(vocab_size, vocab_size), freeze=False)

    def forward(self, ids: Tensor) -> Tensor:
        return self.embedding(ids)
