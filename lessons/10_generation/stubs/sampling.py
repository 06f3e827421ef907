"""From scores to the next token: filter, then draw."""

import torch
from torch import Tensor


def sample(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw one token id for each row: logits (batch, vocab_size) to int64 (batch,).

    In this order: the temperature divides the scores (0: the most probable token, without chance); top_k keeps the k
    most probable tokens of each row (all, where k is more than there are); top_p keeps the smallest set of the most
    probable that holds at least p of what is left. None filters nothing. What is drawn comes from the softmax of the
    rest, with the `generator`. The logits are not changed.
    """
    raise NotImplementedError
