"""The nouns that cross folders."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

IGNORE = -100
"""The target id that no loss counts."""

State: TypeAlias = Any
"""What a layer remembers between calls (KV cache, convolution window, recurrent matrix): passed in, returned,
never stored on the module. Only the part that made it looks inside."""


@dataclass(frozen=True, slots=True)
class Document:
    """One text with a name (unique within its source) and where it came from."""

    text: str
    name: str
    source: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. `role`: system, user, assistant, or what a template knows besides."""

    role: str
    content: str


@dataclass(frozen=True)
class Place:
    """Where each token stands, and which it is.

    `index`: its position, shape (1, time) when all rows agree, else (batch, time).
    `document`: the id of its document, shape (batch, time); tokens of different documents never see each other,
    and -1 marks padding. A document's tokens stand together: what comes back after another document is a new one.
    None means that every row is one document.
    `ids`: the tokens themselves, shape (batch, time), for parts that look at them again (value embeddings); None
    where nobody asks, or where inputs have no ids (pictures).
    """

    index: Int[Tensor, "rows time"]
    document: Int[Tensor, "batch time"] | None = None
    ids: Int[Tensor, "batch time"] | None = None

    @staticmethod
    def of(ids: Int[Tensor, "batch time"], offset: int = 0) -> "Place":
        """Rows of one document each, the first token standing at `offset`."""
        time = ids.shape[1]
        return Place(torch.arange(offset, offset + time, device=ids.device).unsqueeze(0), None, ids)


@dataclass(frozen=True)
class Batch:
    """`targets[b, t]` is the token after `inputs[b, t]`, or IGNORE where nothing is to be learned.

    `source`: where in the training text each input stands, for objectives that know more about it; None where rows are
    no windows of one text.
    """

    inputs: Int[Tensor, "batch time"]
    targets: Int[Tensor, "batch time"]
    place: Place
    source: Int[Tensor, "batch time"] | None = None


@dataclass(frozen=True)
class Loss:
    """`value` is a *sum* over `count` targets (so that unequal microbatches add up right); what is minimised is
    value / count over the global batch. `metrics` are further sums to log."""

    value: Float[Tensor, ""]
    count: Int[Tensor, ""]
    metrics: dict[str, Tensor]
