"""Cross-entropy as it is defined."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def cross_entropy(
    logits: Float[Tensor, "*rows vocab"], targets: Int[Tensor, "*rows"], ignore_index: int = -100
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """The sum of -log softmax(logits)[target] in nats over the targets that count, and how many those are."""
    counted = targets != ignore_index
    shifted = logits - logits.amax(-1, keepdim=True)
    log_probabilities = shifted - shifted.exp().sum(-1, keepdim=True).log()
    nats = -log_probabilities.gather(-1, torch.where(counted, targets, 0).unsqueeze(-1)).squeeze(-1)
    return torch.where(counted, nats, 0.0).sum(), counted.sum()
