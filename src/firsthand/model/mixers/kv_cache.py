"""What attention remembers: the keys and values of all tokens so far, in memory set aside once."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from firsthand.errors import UserError
from firsthand.types import Place


class KVCache:
    """Room for `max_length` tokens in each of `batch_size` rows.

    Keys are kept as attention reads them (rotated); each keeps its position and document.
    """

    def __init__(
        self,
        batch_size: int,
        n_kv_heads: int,
        max_length: int,
        d_head: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        shape = (batch_size, n_kv_heads, max_length, d_head)
        self.length = 0
        self.keys = torch.zeros(shape, device=device, dtype=dtype)
        self.values = torch.zeros(shape, device=device, dtype=dtype)
        self.index = torch.zeros((batch_size, max_length), device=device, dtype=torch.long)
        self.document: Tensor | None = None

    def append(
        self,
        key: Float[Tensor, "batch heads time d_head"],
        value: Float[Tensor, "batch heads time d_head"],
        place: Place | None = None,
    ) -> tuple[Float[Tensor, "batch heads all d_head"], Float[Tensor, "batch heads all d_head"]]:
        """Store the new tokens and return the keys and values of all so far. UserError if there is no room."""
        if self.length == 0 and self.keys.dtype != key.dtype:  # autocast decides only now
            self.keys, self.values = self.keys.to(key.dtype), self.values.to(key.dtype)
        start, stop, room = self.length, self.length + key.shape[2], self.keys.shape[2]
        if stop > room:
            raise UserError(
                f"The state has room for {room} tokens, and this would be token {stop}. "
                f"Make it with initial_states(batch, length) for all the tokens to come."
            )
        self.keys[:, :, start:stop] = key
        self.values[:, :, start:stop] = value
        if place is None:
            place = Place(torch.arange(start, stop, device=key.device).unsqueeze(0))
        self.index[:, start:stop] = place.index
        if place.document is not None and self.document is None:
            self.document = torch.zeros_like(self.index)  # what came without a document is document 0
        if self.document is not None:
            self.document[:, start:stop] = 0 if place.document is None else place.document
        self.length = stop
        return self.keys[:, :, :stop], self.values[:, :, :stop]

    def visible(self, time: int) -> Bool[Tensor, "batch 1 time all"] | None:
        """Which keys the last `time` tokens may read, as far as documents go; None: all."""
        if self.document is None:
            return None
        documents = self.document[:, : self.length]
        return same_document(documents[:, -time:], documents)

    @property
    def key_index(self) -> Int[Tensor, "batch all"]:
        return self.index[:, : self.length]


def same_document(
    query: Int[Tensor, "batch query"], key: Int[Tensor, "batch key"]
) -> Bool[Tensor, "batch 1 query key"]:
    """True where both stand in one document; padding (-1) reads nothing and is read by nobody."""
    return ((query[:, :, None] == key[:, None, :]) & (key >= 0)[:, None, :]).unsqueeze(1)
