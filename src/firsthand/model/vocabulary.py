"""Rows for new tokens in the tables of a trained model."""

from collections.abc import Mapping

import torch
from torch import Tensor

TABLES = ("embedding.weight", "unembedding.weight")


def grown(weights: Mapping[str, Tensor], known: int, tokens: int) -> dict[str, Tensor]:
    """The weights for `tokens` tokens, of which the model has learnt the first `known`.

    Each new token's row is the mean of the known ones, so that it is neither likely nor unlikely at first (Hewitt 2021,
    "Initializing New Word Embeddings for Pretrained Language Models"). Tables that have rows to spare keep their size.
    """
    result = dict(weights)
    for name in TABLES:
        if name in result and tokens > known:
            table = result[name]
            size = max(len(table), tokens)
            larger = table.new_empty(size, table.shape[1])
            larger[: len(table)] = table
            larger[known:tokens] = table[:known].to(torch.float32).mean(dim=0).to(table.dtype)
            result[name] = larger
    return result
