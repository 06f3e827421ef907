"""What a mixer without a cache can remember: its inputs, read again from the start at every step. Slow, and right."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from firsthand.errors import UserError
from firsthand.model.mixers.segments import segments
from firsthand.types import Place


class Replay:
    """The inputs of up to `length` tokens in each of `batch` rows. `like`: a tensor whose last axis is d_model long."""

    def __init__(self, batch: int, length: int, like: Tensor) -> None:
        self.inputs = like.new_zeros(batch, length, like.shape[-1])
        self.length = 0
        self.index: Tensor | None = None
        self.document: Tensor | None = None

    def replay(
        self, mixer: Any, x: Float[Tensor, "batch time d_model"], place: Place
    ) -> tuple[Float[Tensor, "batch time d_model"], "Replay"]:
        """The outputs of `mixer` for the new tokens, as if it had read all of them at once. UserError if they find no
        room."""
        before, now = self.length, self.length + x.shape[1]
        if now > self.inputs.shape[1]:
            raise UserError(
                f"The state has room for {self.inputs.shape[1]} tokens, and this would be token {now}. Make it with "
                "initial_state(batch, length) for all the tokens to come."
            )
        self.inputs = self.inputs.to(x.dtype)
        self.inputs[:, before:now] = x
        self.index = _joined(self.index, place.index.expand(len(x), -1))
        if place.document is not None or self.document is not None:
            old = torch.zeros_like(self.index[:, :before]) if self.document is None else self.document
            new = torch.zeros_like(self.index[:, before:]) if place.document is None else place.document
            self.document = _joined(old, new)
        self.length = now
        y, _ = mixer(self.inputs[:, :now], Place(self.index, self.document))
        return y[:, before:], self

    def keep_first(self, length: int, room: int) -> bool:
        """Forget all but the first `length` tokens, and have room for `room`. For rows of one document."""
        if self.document is not None:
            return False
        more = room - self.inputs.shape[1]
        if more > 0:
            self.inputs = torch.nn.functional.pad(self.inputs, (0, 0, 0, more))
        self.length = length
        self.index = None if self.index is None else self.index[:, :length]
        return True


def _joined(old: Tensor | None, new: Tensor) -> Tensor:
    return new if old is None else torch.cat((old, new), 1)


def same_document(place: Place) -> Bool[Tensor, "rows 1 query key"]:
    """True where two tokens of a row belong to one document; one True for all where there is but one."""
    segment, _ = segments(place)
    if segment is None:
        return torch.ones((1, 1, 1, 1), dtype=torch.bool, device=place.index.device)
    return segment[:, None, :, None] == segment[:, None, None, :]
