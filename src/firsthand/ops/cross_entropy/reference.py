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


def linear_cross_entropy(
    x: Float[Tensor, "*rows d_model"],
    weight: Float[Tensor, "vocab d_model"],
    targets: Int[Tensor, "*rows"],
    softcap: float | None = None,
    ignore_index: int = -100,
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """The same from the head's input: logits = x weightᵀ, squeezed to ±softcap (arXiv 2408.00118, section 2)."""
    logits = x @ weight.t()
    return cross_entropy(logits if softcap is None else softcap * torch.tanh(logits / softcap), targets, ignore_index)
