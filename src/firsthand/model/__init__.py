"""The model: embed, a trunk of blocks, a head. Three kinds of part can be swapped: mixers, FFNs and positions.

To write your own: subclass nothing. Any nn.Module with the methods of the protocol below will do; name it in a
recipe as `model.mixer=my_idea.py:MyMixer`, or give it a line in the table of its folder.
"""

from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from firsthand.types import Place, State


class Mixer(Protocol):
    """Moves information between tokens.

    `forward(x, place, state)`: x is (batch, time, d_model); returns the same shape and the new state. Output t may
    depend on inputs up to t only. `state=None` means that the row starts here and nothing needs to be remembered
    (the returned state is then None). With a state, x continues the sequence that the state has seen; the passed
    state is consumed (it may be updated in place) and the returned one takes its place.
    `initial_state(batch, length)`: an empty state with room for `length` tokens.
    A state that can forget its last tokens has `keep_first(length, room)`, as attention's cache has: conversations ask.
    `state_size(length)`: how many numbers the state holds for one row of `length` tokens, places and document ids
    aside; for a recurrent mixer it does not depend on the length.

    A mixer that looks back only so far on purpose says so in an attribute `window`: how many tokens an output depends
    on, its own included; absent or None: all before it. `firsthand.contracts.mixer` holds all of this as checks.
    """

    def forward(
        self, x: Float[Tensor, "batch time d_model"], place: Place, state: State = None
    ) -> tuple[Float[Tensor, "batch time d_model"], State]: ...

    def initial_state(self, batch: int, length: int) -> State: ...

    def state_size(self, length: int) -> int: ...


class FeedForward(Protocol):
    """Works on each token alone. Returns (y, extra_loss): a scalar to add to the loss, zero unless experts balance."""

    def forward(
        self, x: Float[Tensor, "batch time d_model"]
    ) -> tuple[Float[Tensor, "batch time d_model"], Float[Tensor, ""]]: ...


class Position(nn.Module):
    """Tells tokens where they stand, in up to three ways; each is the identity until a scheme overrides it.

    Attention calls all of them and never asks which scheme it has.
    """

    context_length: int | None = None
    """How many places the scheme knows; None: as many as you like."""

    blind: bool = False
    """True for a scheme that tells tokens nothing at all. What is neither blind nor tells anything is a mistake."""

    def embed(
        self, x: Float[Tensor, "batch time d_model"], index: Int[Tensor, "rows time"]
    ) -> Float[Tensor, "batch time d_model"]:
        """Added to the embedding, once, before the first block."""
        return x

    def rotate(
        self, heads: Float[Tensor, "batch heads time d_head"], index: Int[Tensor, "rows time"]
    ) -> Float[Tensor, "batch heads time d_head"]:
        """Applied to queries and keys, never to values."""
        return heads

    def bias(
        self, query_index: Int[Tensor, "query_rows query"], key_index: Int[Tensor, "key_rows key"]
    ) -> Float[Tensor, "rows heads query key"] | None:
        """Added to the attention scores; None adds nothing. Either index has one row where all rows agree."""
        return None


def no_extra_loss(x: Tensor) -> Float[Tensor, ""]:
    """What an FFN without a balance term returns beside its output."""
    return torch.zeros((), device=x.device)
