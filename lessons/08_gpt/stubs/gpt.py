"""The language model: embed, a trunk of blocks, a head."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from firsthand.types import Place


class LanguageModel(nn.Module):
    """Token ids to logits over the next token. Its parts, by the names under which checkpoints find them:

    embedding: nn.Embedding(vocab_size, d_model); position, norm: as given; blocks: an nn.ModuleList of those given;
    unembedding: nn.Linear(d_model, vocab_size, bias=False), or None if `tied`: then the head's matrix *is* the
    embedding's, the same parameter, and whatever trains the one trains the other.
    """

    def __init__(
        self,
        blocks: Iterable[nn.Module],
        vocab_size: int,
        d_model: int,
        context_length: int,
        position: nn.Module,
        norm: nn.Module,
        tied: bool = True,
    ) -> None:
        super().__init__()
        self.context_length = context_length  # given: whoever writes with the model asks for it
        raise NotImplementedError

    def embed(self, ids: Tensor, place: Place) -> Tensor:
        """ids (batch, time) to (batch, time, d_model): rows of the embedding, as position.embed(x, place.index) gives
        them back."""
        raise NotImplementedError

    def trunk(
        self, x: Tensor, place: Place, states: list[Any] | None = None
    ) -> tuple[Tensor, list[Any] | None, Tensor]:
        """All blocks in a row. block(x, place, state) returns (x, state, extra_loss).

        Returns x, the list of the blocks' new states (None if `states` is None: then each block gets None), and the
        sum of all extra losses. No norm here.
        """
        raise NotImplementedError

    def head(self, x: Tensor) -> Tensor:
        """(..., d_model) to logits (..., vocab_size): norm, then the head's matrix. Logits are no probabilities."""
        raise NotImplementedError

    def forward(self, ids: Tensor, place: Place | None = None) -> Tensor:
        """ids (batch, time) to logits (batch, time, vocab_size). Without a place, Place.of(ids): rows begin at 0."""
        raise NotImplementedError
