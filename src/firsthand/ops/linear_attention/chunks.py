"""Cutting the inputs of linear attention into chunks, and putting results in their place."""

from dataclasses import dataclass

import torch
from torch import Tensor

from firsthand.ops.linear_attention.fading import Fading, by_border, by_decay

CHUNK = 64
"""Tokens of a chunk. Longer ones waste work on scores, shorter ones on the state between them; 64 is measured."""

RUN_NUMBERS = 1 << 17
"""Chunks are computed together while their weights are about so many numbers: larger calls, still in the cache."""


@dataclass
class Run:
    """Some chunks of one length in a row. Heads that share queries and keys form a group.

    "rows" are all chunks of all groups of the batch; the chunks of a group are neighbours.
    `query`, `key`: (rows, time, d_key). `value`: (rows, time, heads, d_value), of the heads in each group. `reach`:
    what is left of the state before a chunk at each of its tokens. `stay`: what is left of each token at the chunk's
    end; both (rows, time, heads, 1). None: all of it. All these are what products read, and have their dtype.
    `keep`: what is left of the state before a chunk at its end, (rows, 1, heads, 1). `logs`: decay up to each token,
    base 2, (rows, heads, time). `sees`: whether the second token reaches the first, (time, time) or (rows, 1, time,
    time), as a logarithm: 0 or -inf. These are exact.
    """

    chunks: int
    query: Tensor
    key: Tensor
    value: Tensor
    reach: Tensor | None
    stay: Tensor | None
    keep: Tensor | None
    logs: Tensor | None
    sees: Tensor

    def left(self) -> Tensor:
        """What is left of each token at each other, (rows, heads or 1, time, time), exact."""
        if self.logs is None:
            return self.sees.exp2().expand(len(self.value), 1, -1, -1)
        return (self.logs.unsqueeze(3) - self.logs.unsqueeze(2)).add_(self.sees).exp2_()


class Chunks:
    """All tokens, (batch, heads, time, …), and the runs of chunks that they make.

    Products are computed in bf16 where queries, keys and values are bf16. Decays, sums over chunks and the states
    between them are `exact` whatever the inputs.
    """

    def __init__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        decay: Tensor | None,
        segment: Tensor | None,
        heads: int,
        exact: torch.dtype,
    ) -> None:
        self.query, self.key, self.value, self.heads, self.exact = query, key, value, heads, exact
        self.groups = query.shape[1] if query.shape[1] == key.shape[1] else heads
        self.time = query.shape[2]
        self.length = min(CHUNK, self.time)
        self.count = (self.time + self.length - 1) // self.length
        short = all(x.dtype == torch.bfloat16 for x in (query, key, value))
        self.product = torch.bfloat16 if short else exact
        none = torch.full((self.length, self.length), -torch.inf, dtype=exact, device=query.device)
        self.hidden = none.triu_(1)
        self.fading = Fading() if decay is None else by_decay(decay, self.groups, heads, self.length, exact)
        if segment is not None:
            self.fading = by_border(segment, self.groups, self.length, self.fading, exact)

    def spans(self) -> list[tuple[int, int, int]]:
        """First chunk, number of chunks and their length, for each run."""
        whole, rest = self.time // self.length, self.time % self.length
        rows = len(self.query) * self.heads
        many = max(1, RUN_NUMBERS // (rows * self.length**2))
        found = [(first, min(many, whole - first), self.length) for first in range(0, whole, many)]
        return found + [(whole, 1, rest)] * (rest > 0)

    def cut(self, x: Tensor, span: tuple[int, int, int], heads: int) -> Tensor:
        """The span of x, spread over so many heads, as (rows, time, heads in a group, …), in the dtype of products."""
        x = x[:, :, span[0] * self.length :][:, :, : span[1] * span[2]]
        if x.shape[1] < heads:
            x = x.repeat_interleave(heads // x.shape[1], 1)
        x = torch.unflatten(torch.unflatten(x.to(self.product), 2, span[1:]), 1, (self.groups, -1))
        return x.movedim(2, 4).flatten(0, 2)

    def run(self, span: tuple[int, int, int]) -> Run:
        query, key = (self.cut(x, span, self.groups).squeeze(2) for x in (self.query, self.key))
        first, many, time = span
        fading, keep = self.fading.at(slice(first, first + many), time)
        reach, stay = (None if x is None else x.to(self.product) for x in (fading.reach, fading.stay))
        sees = self.hidden[:time, :time]
        if fading.number is not None:
            apart = fading.number.unsqueeze(2) != fading.number.unsqueeze(1)
            sees = sees.masked_fill(apart.unsqueeze(1), -torch.inf)
        value = self.cut(self.value, span, self.heads)
        return Run(many, query, key, value, reach, stay, keep, fading.logs, sees)

    def put(self, x: Tensor, part: Tensor, span: tuple[int, int, int]) -> None:
        """`part`, (rows, time, heads in a group, …), into the span of x, where heads that share one add up."""
        start = span[0] * self.length
        part = self.spread(part, span[1])
        if x.shape[1] < part.shape[1]:
            part = torch.unflatten(part, 1, (x.shape[1], -1)).sum(2)
        x[:, :, start : start + part.shape[2]] = part

    def spread(self, part: Tensor, chunks: int) -> Tensor:
        """(rows, time, heads in a group, …) as (batch, heads, all their time, …)."""
        part = torch.unflatten(part, 0, (-1, self.groups, chunks)).movedim(4, 2)
        return part.flatten(3, 4).flatten(1, 2)

    def state_in(self, state: Tensor) -> Tensor:
        """(batch, heads, d_key, d_value) as (groups, d_key, heads, d_value): one matrix for all heads of a group."""
        return torch.unflatten(state, 1, (self.groups, -1)).transpose(2, 3).flatten(0, 1)

    def state_out(self, state: Tensor) -> Tensor:
        """(groups, d_key, heads, d_value) as (batch, heads, d_key, d_value)."""
        return torch.unflatten(state, 0, (-1, self.groups)).transpose(2, 3).flatten(1, 2)
