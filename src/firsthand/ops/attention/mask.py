"""Who may read whom."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True)
class Mask:
    """A query reads the keys that every rule lets it read; a rule that is not given forbids nothing.

    The last query stands at the last key. `visible`: True = may read, broadcasts to (batch, heads, query, key).
    `causal`: nothing after its own place. `segment` (batch, key): its own segment only; a segment's tokens stand
    together. `window`: its own place and the window - 1 before it, and whatever the window, the first `sink_tokens`
    tokens of its segment.
    """

    visible: Tensor | None = None
    causal: bool = False
    segment: Tensor | None = None
    window: int | None = None
    sink_tokens: int = 0

    def only_causal(self, queries: int, keys: int) -> bool:
        """Whether a row attends to itself and order is all that counts."""
        # a branch, since torch.compile compares lengths without deciding
        if queries != keys or (self.window is not None and self.window < keys):
            return False
        return self.causal and self.visible is None and self.segment is None

    def blind(self, queries: int, keys: int) -> bool:
        """Whether some query may have nothing to read: not among segments, where each reads itself."""
        return self.visible is not None or (self.causal and queries > keys)

    def dense(
        self, queries: int, keys: int, device: torch.device | str | None = None
    ) -> Bool[Tensor, "*batch query key"] | None:
        """True where a query may read a key; None if all may read all."""
        allowed = self.by_place(queries, keys, device)
        if self.segment is not None:
            same = self.segment[:, None, keys - queries :, None] == self.segment[:, None, None, :]
            allowed = same if allowed is None else allowed & same
        if self.visible is None:
            return allowed
        return self.visible if allowed is None else allowed & self.visible

    def by_place(
        self, queries: int, keys: int, device: torch.device | str | None = None
    ) -> Bool[Tensor, "*batch query key"] | None:
        """What order and window allow."""
        allowed = causal_mask(queries, keys, keys - queries, device) if self.causal and queries > 1 else None
        if self.window is None or keys <= self.window:
            return allowed
        near = ~causal_mask(queries, keys, keys - queries - self.window, device)
        if self.sink_tokens:
            rank = torch.arange(keys, device=device)
            if self.segment is not None:
                rank = (rank - segment_starts(self.segment))[:, None, None, :]
            near = near | (rank < self.sink_tokens)
        return near if allowed is None else allowed & near


def causal_mask(
    query_length: int, key_length: int, offset: int = 0, device: torch.device | str | None = None
) -> Bool[Tensor, "query key"]:
    """True where query i, which stands at offset + i, may read key j: j <= offset + i."""
    query_index = torch.arange(query_length, device=device) + offset
    key_index = torch.arange(key_length, device=device)
    return query_index[:, None] >= key_index[None, :]


def segment_starts(segment: Int[Tensor, "batch time"]) -> Int[Tensor, "batch time"]:
    """For each token, where its segment begins."""
    border = torch.diff(segment, prepend=segment[:, :1]) != 0
    return torch.where(border, torch.arange(segment.shape[1], device=segment.device), 0).cummax(1).values
