"""By the Gumbel trick: the largest of score + noise is a draw from the softmax."""

import torch
from torch import Tensor


def sample(logits: Tensor, temperature=1.0, top_k=None, top_p=None, generator=None) -> Tensor:
    if temperature == 0:
        return logits.max(dim=-1).indices
    scores = logits.double() / temperature
    rank = scores.argsort(-1, descending=True).argsort(-1)
    keep = rank < (top_k or scores.shape[-1])
    if top_p is not None:
        shares = scores.masked_fill(~keep, -torch.inf).softmax(-1)
        # for each token the sum of those that are more probable
        above = (shares.unsqueeze(-2) * (rank.unsqueeze(-2) < rank.unsqueeze(-1))).sum(-1)
        keep = keep & (above < top_p)
    uniform = torch.rand(scores.shape, generator=generator, dtype=torch.float64)
    noise = -torch.log(-torch.log(uniform.clamp(min=1e-300)))
    return torch.where(keep, scores + noise, -torch.inf).argmax(-1)
