"""The smallest language model: one table, from a token to the logits of the next."""

from torch import Tensor, nn


class Embedding(nn.Module):
    """A learnt vector for each token. One parameter, `weight` (vocab_size, d_model), drawn from the standard normal."""

    def __init__(self, vocab_size: int, d_model: int) -> None:
        super().__init__()
        raise NotImplementedError

    def forward(self, ids: Tensor) -> Tensor:
        """ids (batch, time), int64, to their vectors (batch, time, d_model)."""
        raise NotImplementedError


class Bigram(nn.Module):
    """An Embedding called `embedding`, whose row i holds the logits of what follows token i; zeros before training."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        raise NotImplementedError

    def forward(self, ids: Tensor) -> Tensor:
        """ids (batch, time) to logits (batch, time, vocab_size): at each place, of the token after it."""
        raise NotImplementedError
