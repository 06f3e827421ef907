"""What attention remembers: keys and values of all tokens that later ones may read, in memory set aside once."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int, Num
from torch import Tensor
from torch.nn import functional as F

from firsthand.errors import UserError
from firsthand.model.mixers.segments import segments
from firsthand.ops.attention.mask import Mask, segment_starts
from firsthand.types import Place


@dataclass(frozen=True)
class Readable:
    """What the tokens of one call may read, themselves included. `rules`: arguments of ops.attention that say who may
    read what."""

    keys: Num[Tensor, "batch heads all d_key"]
    values: Num[Tensor, "batch heads all d_value"]
    index: Int[Tensor, "rows all"]
    rules: dict[str, Any]

    @staticmethod
    def fresh(key: Tensor, value: Tensor, place: Place, window: int | None = None, sink_tokens: int = 0) -> "Readable":
        """Rows that start here."""
        segment, _ = segments(place)
        rules = {"causal": True, "segment": segment, "window": window, "sink_tokens": sink_tokens}
        return Readable(key, value, place.index, rules)


def checked_window(window: int | None, sink_tokens: int) -> dict[str, Any]:
    """The two as arguments. UserError if they make no sense."""
    if window is not None and window < 1:
        raise UserError(f"window = {window} is no number of tokens: a token reads at least itself, which is window=1.")
    if sink_tokens and window is None:
        raise UserError(f"sink_tokens = {sink_tokens} needs a window: without one, all tokens stay visible anyway.")
    if sink_tokens < 0:
        raise UserError(f"sink_tokens = {sink_tokens} is no number of tokens.")
    return {"window": window, "sink_tokens": sink_tokens}


def slots(length: int, window: int | None = None, sink_tokens: int = 0) -> int:
    """For how many of a row's `length` tokens there must be room."""
    return length if window is None or window >= length else sink_tokens + window


def keys_read(length: int, window: int | None = None, sink_tokens: int = 0) -> float:
    """How many keys a token reads on the average over a row: half of them, or as many as its window holds."""
    seen = min(slots(length, window, sink_tokens), length)
    return seen * (1 - seen / length / 2)


class KVCache:
    """Keys as attention reads them (rotated), values, and the positions of `length` tokens in each of `batch` rows.

    With a window that is shorter, only its tokens are kept, in a ring, and the first `sink_tokens` of each row's
    document, in slots of their own before the ring. `alive` tells the slots that hold something of the document that
    the row is in. Tensors have the dtype and device of `like`. UserError for a token that would find no room.
    """

    def __init__(
        self,
        batch: int,
        n_kv_heads: int,
        length: int,
        d_key: int,
        d_value: int,
        like: Tensor,
        window: int | None = None,
        sink_tokens: int = 0,
    ) -> None:
        self.reach = window
        self.window = None if window is None or window >= length else window
        self.sinks = 0 if self.window is None else sink_tokens
        self.ring = self.window or length
        count = slots(length, window, sink_tokens)
        self.keys = like.new_zeros(batch, n_kv_heads, count, d_key)
        self.values = like.new_zeros(batch, n_kv_heads, count, d_value)
        self.index = like.new_zeros(batch, count, dtype=torch.long)
        self.alive = like.new_ones(batch, count, dtype=torch.bool)
        self.alive[:, : self.sinks] = False  # read before they are written
        self.length = 0  # tokens so far
        self.age = like.new_zeros(batch, 1, dtype=torch.long)  # of them in the row's document
        self.document: Tensor | None = None

    def append(
        self,
        key: Num[Tensor, "batch heads time d_key"],
        value: Num[Tensor, "batch heads time d_value"],
        place: Place,
    ) -> Readable:
        """Store the new tokens, and return what they may read."""
        before, time = self.length, key.shape[2]
        if self.window is None and before + time > self.ring:
            raise UserError(
                f"The state has room for {self.ring} tokens, and this would be token {before + time}. "
                f"Make it with initial_states(batch, length) for all the tokens to come."
            )
        if before == 0 and self.keys.dtype != key.dtype:  # autocast decides only now
            self.keys, self.values = self.keys.to(key.dtype), self.values.to(key.dtype)
        segment, self.document = segments(place, self.document)
        index = place.index.expand(len(key), -1)
        rank = self._rank(segment, time) if self.sinks else None
        if before and time > 1:
            reads = self._joined(key, value, index, segment, rank)
            self._store(key, value, index, segment, rank)
            return reads
        self._store(key, value, index, segment, rank)
        if before == 0:
            return Readable.fresh(key, value, place, self.window, self.sinks)
        used = self.sinks + min(self.length, self.ring)
        alone = self.document is None and not self.sinks
        rules = {"visible": None if alone else self.alive[:, None, None, :used]}
        return Readable(self.keys[:, :, :used], self.values[:, :, :used], self.index[:, :used], rules)

    def keep_first(self, length: int, room: int) -> bool:
        """Forget all but the first `length` tokens, and have room for `room` in all. For rows of one document.

        False, and nothing is done, where a window has overwritten what is to stay, or would begin to with more room.
        """
        if self.document is not None:
            return False
        if self.window is not None:
            if length < self.length and (self.sinks or self.length > self.ring):
                return False
        elif (more := room - self.ring) > 0:
            if self.reach is not None and self.reach < room:
                return False
            self.keys, self.values = (F.pad(memory, (0, 0, 0, more)) for memory in (self.keys, self.values))
            self.index, self.alive = F.pad(self.index, (0, more)), F.pad(self.alive, (0, more), value=True)
            self.ring = room
        self.length = length
        return True

    def _store(self, key: Tensor, value: Tensor, index: Tensor, segment: Tensor | None, rank: Tensor | None) -> None:
        """Write the new tokens over those that nobody will read again."""
        alive = None  # where nothing says otherwise every slot in use is alive, and was
        if segment is not None:
            alive = segment == segment[:, -1:]
            self.alive &= segment[:, -1:] == 0
        if rank is not None:
            alive = torch.ones_like(index, dtype=torch.bool) if alive is None else alive
            self._store_sinks(key, value, index, alive, rank)
            alive = alive & (rank >= self.sinks)
        self._write(self.keys, key, 2)
        self._write(self.values, value, 2)
        self._write(self.index, index, 1)
        if alive is not None:
            self._write(self.alive, alive, 1)
        self.length += key.shape[2]

    def _write(self, memory: Tensor, new: Tensor, axis: int) -> None:
        """The last of the new tokens, as many as the ring holds, from the slot where the oldest are forgotten."""
        time = new.shape[axis]
        kept = min(time, self.ring)
        start = (self.length + time - kept) % self.ring
        first = min(kept, self.ring - start)  # those before the ring's end
        new = new if first == time else new.narrow(axis, time - kept, kept)
        memory.narrow(axis, self.sinks + start, first).copy_(new if first == time else new.narrow(axis, 0, first))
        if first < kept:
            memory.narrow(axis, self.sinks, kept - first).copy_(new.narrow(axis, first, kept - first))

    def _store_sinks(self, key: Tensor, value: Tensor, index: Tensor, alive: Tensor, rank: Tensor) -> None:
        """Keep the first tokens of each row's document, as far as they are among the new ones."""
        hit = (rank[:, None, :] == torch.arange(self.sinks, device=rank.device)[:, None]) & alive[:, None, :]
        found, column = hit.any(-1), hit.byte().argmax(-1)
        for memory, new in ((self.keys, key), (self.values, value)):
            chosen = new.gather(2, column[:, None, :, None].expand(-1, new.shape[1], -1, new.shape[3]))
            memory[:, :, : self.sinks] = torch.where(found[:, None, :, None], chosen, memory[:, :, : self.sinks])
        self.index[:, : self.sinks] = torch.where(found, index.gather(1, column), self.index[:, : self.sinks])
        self.alive[:, : self.sinks] |= found
        self.age = rank[:, -1:] + 1

    def _rank(self, segment: Tensor | None, time: int) -> Int[Tensor, "batch time"]:
        """The number of each new token in its document."""
        columns = torch.arange(time, device=self.age.device)
        if segment is None:
            return self.age + columns
        return columns - segment_starts(segment) + torch.where(segment == 0, self.age, 0)

    def _joined(
        self, key: Tensor, value: Tensor, index: Tensor, segment: Tensor | None, rank: Tensor | None
    ) -> Readable:
        """What is stored, in the order of its slots, and the new tokens behind it."""
        used = self.sinks + min(self.length, self.ring)
        keys = torch.cat((self.keys[:, :, :used], key), 2)
        values = torch.cat((self.values[:, :, :used], value), 2)
        places = torch.cat((self.index[:, :used], index), 1)
        if self.window is None and segment is None:
            return Readable(keys, values, places, {"causal": True})
        return Readable(keys, values, places, {"visible": self._visible(used, key.shape[2], segment, rank)})

    def _visible(
        self, used: int, time: int, segment: Tensor | None, rank: Tensor | None
    ) -> Bool[Tensor, "batch 1 time all"]:
        """Which of the stored tokens, and which of themselves, the new ones may read."""
        batch, device = len(self.alive), self.alive.device
        stored = self.alive[:, None, None, :used].expand(-1, -1, time, -1)
        if segment is not None:
            stored = stored & (segment == 0)[:, None, :, None]
        new = Mask(causal=True, segment=segment).dense(time, time, device)
        if self.window is not None:
            slot = torch.arange(used - self.sinks, device=device)
            back = (self.length - 1 - slot) % self.ring + 1  # from the first new token
            near = back + torch.arange(time, device=device)[:, None] < self.window
            stored = stored & torch.cat((near.new_ones(time, self.sinks), near), 1)
            close = Mask(window=self.window).by_place(time, time, device)
            if close is not None:
                lasting = close if rank is None else close | (rank < self.sinks)[:, None, None, :]
                new = lasting if new is None else new & lasting
        assert new is not None, "several tokens stand in an order"
        return torch.cat((stored, new.expand(batch, 1, -1, -1)), 3)
