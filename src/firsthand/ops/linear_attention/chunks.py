"""Cutting the inputs of linear attention into chunks, and what is left of what between their tokens."""

from dataclasses import dataclass

import torch
from torch import Tensor

from firsthand.ops.linear_attention.parallel import vanishing

CHUNK = 64
"""Tokens of a chunk. Longer ones waste work on scores, shorter ones on the state between them; 64 is measured."""


@dataclass
class Chunk:
    """Some tokens in a row. Heads that share queries and keys form a group; groups of all rows stand in one axis.

    `query`, `key`: (groups, time, d_key). `value`: (groups, time, heads, d_value), of the heads in each group.
    `reach`: what is left of the state before the chunk at each token. `stay`: what is left of each token at the
    chunk's end; both (groups, time, heads, 1). `keep`: what is left of the state before at the end, (groups, 1,
    heads, 1). None: all of it. `logs`: decay since the chunk began, (groups, heads, time). `sees`: whether the second
    token reaches the first, (time, time) or (groups, 1, time, time), as a logarithm: 0 or -inf.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    logs: Tensor | None
    sees: Tensor
    reach: Tensor | None
    stay: Tensor | None
    keep: Tensor | None

    def left(self) -> Tensor:
        """What is left of each token at each other, (groups, heads or 1, time, time)."""
        if self.logs is None:
            return self.sees.exp().expand(len(self.value), 1, -1, -1)
        return (self.logs.unsqueeze(3) - self.logs.unsqueeze(2)).add_(self.sees).exp_()


@dataclass
class Chunks:
    """All tokens, (batch, heads, time, …), and the chunks that they make."""

    query: Tensor
    key: Tensor
    value: Tensor
    decay: Tensor | None
    segment: Tensor | None
    heads: int
    exact: torch.dtype

    def __post_init__(self) -> None:
        shared = self.query.shape[1] == self.key.shape[1]
        self.groups = self.query.shape[1] if shared else self.heads
        longest = min(CHUNK, self.query.shape[2])
        none = torch.full((longest, longest), -torch.inf, dtype=self.exact, device=self.query.device)
        self.hidden = none.triu_(1)

    def spans(self) -> list[tuple[int, int]]:
        time = self.query.shape[2]
        return [(start, min(time, start + CHUNK)) for start in range(0, time, CHUNK)]

    def cut(self, x: Tensor, span: tuple[int, int], heads: int) -> Tensor:
        """The span of x, spread over so many heads, as (groups of all rows, time, heads in a group, …)."""
        x = x[:, :, span[0] : span[1]]
        if x.shape[1] < heads:
            x = x.repeat_interleave(heads // x.shape[1], 1)
        return torch.unflatten(x, 1, (self.groups, -1)).transpose(2, 3).flatten(0, 1).to(self.exact)

    def chunk(self, span: tuple[int, int]) -> Chunk:
        query, key = (self.cut(x, span, self.groups).squeeze(2) for x in (self.query, self.key))
        time = span[1] - span[0]
        sees = self.hidden[:time, :time]
        logs = reach = stay = keep = None
        if self.decay is not None:
            steps = self.cut(self.decay, span, self.heads).clamp(min=vanishing(self.exact))
            total = steps.cumsum(1)
            logs = total.transpose(1, 2).contiguous()
            reach, stay = total.exp().unsqueeze(3), (total[:, -1:] - total).exp_().unsqueeze(3)
            keep = reach[:, -1:]
        if self.segment is not None:
            number = self.segment[:, span[0] : span[1]].repeat_interleave(self.groups, 0)
            before = self.segment[:, max(0, span[0] - 1)].repeat_interleave(self.groups, 0).unsqueeze(1)
            before = before if span[0] else torch.zeros_like(before)
            sees = sees.masked_fill((number.unsqueeze(2) != number.unsqueeze(1)).unsqueeze(1), -torch.inf)
            known, ends = ((number == one)[..., None, None].to(self.exact) for one in (before, number[:, -1:]))
            reach = known if reach is None else reach * known
            stay = ends if stay is None else stay * ends
            keep = reach[:, -1:]
        return Chunk(query, key, self.cut(self.value, span, self.heads), logs, sees, reach, stay, keep)

    def state_in(self, state: Tensor) -> Tensor:
        """(batch, heads, d_key, d_value) as (groups, d_key, heads, d_value): one matrix for all heads of a group."""
        return torch.unflatten(state, 1, (self.groups, -1)).transpose(2, 3).flatten(0, 1)

    def spread(self, x: Tensor) -> Tensor:
        """(groups, time or d_key, heads in a group, d_value) as (batch, heads, time or d_key, d_value)."""
        return torch.unflatten(x, 0, (-1, self.groups)).transpose(2, 3).flatten(1, 2)

    def put(self, x: Tensor, part: Tensor, span: tuple[int, int], add: bool = False) -> None:
        """`part`, (groups, time, heads, …), into the span of x, where heads that share one add up."""
        part = self.spread(part)
        if x.shape[1] < part.shape[1]:
            part = torch.unflatten(part, 1, (x.shape[1], -1)).sum(2)
        there = x[:, :, span[0] : span[1]]
        _ = there.add_(part) if add else there.copy_(part)


def times(x: Tensor, factor: Tensor | None) -> Tensor:
    return x if factor is None else x * factor
