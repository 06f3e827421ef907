"""Value embeddings: what a token contributes to attention whatever its surroundings."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from firsthand.errors import UserError
from firsthand.types import Place

GATE_CHANNELS = 32
"""So many of the stream's first channels decide how far the gates open."""


class ValueEmbedding(nn.Module):
    """value + 2 · sigmoid(gate(x)) · table[token]: a second embedding, added to the values of one layer.

    Deep layers thereby still know which token stood where (ResFormer, Zhou et al. 2024, arXiv 2410.17897; a table for
    a layer as in modded-nanogpt, K. Jordan et al. 2024; with a gate for each key/value head as in nanochat). The table
    has vocab_size · n_kv_heads · d_head numbers, and a lookup is all that they cost. The tokens come from `place.ids`.
    """

    def __init__(self, vocab_size: int, d_model: int, n_kv_heads: int, d_head: int) -> None:
        super().__init__()
        self.gate = nn.Linear(min(GATE_CHANNELS, d_model), n_kv_heads, bias=False)
        # called a table, since Muon takes what is called a weight
        self.table = nn.Parameter(torch.randn(vocab_size, n_kv_heads * d_head) * d_model**-0.5)

    def forward(
        self, value: Float[Tensor, "batch heads time d_head"], x: Float[Tensor, "batch time d_model"], place: Place
    ) -> Float[Tensor, "batch heads time d_head"]:
        """The layer's values, each with its token's row added. UserError if nobody said which tokens these are."""
        if place.ids is None:
            raise UserError(
                "A mixer with value_embedding looks its tokens up again, but this Place does not say which they are. "
                "Make it with Place.of(ids), or give it `ids`; inputs without tokens (pictures) cannot have it."
            )
        batch, heads, time, d_head = value.shape
        rows = nn.functional.embedding(place.ids, self.table).view(batch, time, heads, d_head).transpose(1, 2)
        gate: Tensor = 2 * self.gate(x[..., : self.gate.in_features]).sigmoid()
        return value + (gate.transpose(1, 2).unsqueeze(-1) * rows).to(value.dtype)


class PlainValues(nn.Module):
    """The values as they are."""

    def forward(
        self, value: Float[Tensor, "batch heads time d_head"], x: Float[Tensor, "batch time d_model"], place: Place
    ) -> Float[Tensor, "batch heads time d_head"]:
        return value


def value_embedding_of(wanted: bool, vocab_size: int | None, d_model: int, n_kv_heads: int, d_head: int) -> nn.Module:
    """What a mixer does to its values, called as module(value, x, place). UserError if there is no vocabulary."""
    if not wanted:
        return PlainValues()
    if vocab_size is None:
        raise UserError("value_embedding needs the size of the vocabulary. Give the mixer vocab_size=....")
    return ValueEmbedding(vocab_size, d_model, n_kv_heads, d_head)
