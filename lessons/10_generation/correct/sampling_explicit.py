"""Every step of sampling in sight. The slips of `sampling` are edits of this file."""

import torch
from torch import Tensor


def sample(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    if temperature == 0:
        return logits.argmax(-1)
    scores = logits / temperature
    if top_k is not None:
        kth = scores.topk(min(top_k, scores.shape[-1])).values[:, -1:]
        scores = scores.masked_fill(scores < kth, -torch.inf)
    if top_p is not None:
        ordered, ids = scores.sort(-1, descending=True)
        shares = ordered.softmax(-1)
        before = shares.cumsum(-1) - shares
        dropped = torch.zeros_like(ids, dtype=torch.bool).scatter(-1, ids, before >= top_p)
        scores = scores.masked_fill(dropped, -torch.inf)
    probabilities = scores.softmax(-1)
    drawn = torch.multinomial(probabilities, 1, generator=generator)
    return drawn.squeeze(-1)
