"""On sorted probabilities, with one uniform number for each row and its place in their running sum."""

import torch
from torch import Tensor


def sample(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    values, ids = torch.sort(logits, dim=-1, descending=True)
    if temperature == 0:
        return ids[:, 0]
    p = torch.softmax(values / temperature, dim=-1)
    if top_k is not None:
        p = p[:, :top_k]
        p = p / p.sum(dim=-1, keepdim=True)
    if top_p is not None:
        running = torch.cumsum(p, dim=-1)
        count = (running < top_p).sum(dim=-1, keepdim=True) + 1
        p = p * (torch.arange(p.shape[-1]) < count)
    running = torch.cumsum(p, dim=-1)
    u = torch.rand(len(p), 1, generator=generator, dtype=p.dtype) * running[:, -1:]
    place = (running <= u).sum(dim=-1, keepdim=True).clamp(max=p.shape[-1] - 1)
    return torch.gather(ids, 1, place)[:, 0]
