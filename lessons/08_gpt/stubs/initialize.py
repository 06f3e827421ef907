"""The weights before training."""

import torch
from torch import nn


@torch.no_grad()
def gpt2(model: nn.Module, std: float = 0.02) -> None:
    """Fill the model's weights anew, in place, as GPT-2 does.

    The weight of every nn.Linear and nn.Embedding in it: normal, mean 0, deviation std; but in maps that write into the
    residual stream std / sqrt(2 · number of blocks). Those are called `out` in a mixer and `down` in an ffn, such as
    blocks.0.mixer.out and blocks.0.ffn.down. Every bias of an nn.Linear: 0. All else, such as gains, stays as it is.
    """
    raise NotImplementedError
