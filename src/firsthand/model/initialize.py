"""The weights before training."""

from collections.abc import Callable

import torch
from torch import nn

from firsthand.model.language_model import LanguageModel

RESIDUAL = ("mixer.out", "ffn.down")
"""The projections that write into the residual stream."""


@torch.no_grad()
def gpt2(model: LanguageModel, std: float = 0.02) -> None:
    """Normal weights, zero biases; what writes into the residual stream divided by sqrt(2 · n_layers) (GPT-2, 2.3)."""
    residual_std = std / (2 * len(model.blocks)) ** 0.5
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=residual_std if name.endswith(RESIDUAL) else std)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


@torch.no_grad()
def modern(model: LanguageModel, embedding_std: float | None = None, gain: float = 1.0) -> None:
    """Normal weights of deviation gain / sqrt(fan_in), and zeros in what writes into the residual stream.

    So every block starts as the identity and the first steps learn the embedding and the head. The embedding has unit
    deviation if the head is its own matrix, else 0.02, and the head starts so small that the first prediction is
    uniform.
    """
    tied = model.unembedding is None
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=embedding_std or (0.02 if tied else 1.0))
        elif isinstance(module, nn.Linear):
            std = 0.0 if name.endswith(RESIDUAL) else gain / module.in_features**0.5
            nn.init.normal_(module.weight, std=0.002 if name == "unembedding" else std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


INITIALIZERS: dict[str, Callable[..., None]] = {"gpt2": gpt2, "modern": modern}
