"""What is left of tokens and states within chunks, for all chunks of linear attention at once."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from firsthand.ops.linear_attention.parallel import vanishing


@dataclass
class Fading:
    """Groups of all rows stand in the first axis, chunks in the second. None: nothing fades, or there is no border.

    `logs`: decay since the middle of a chunk, base 2, (groups, chunks, heads, time). `reach`: what is left of the
    state before a chunk at each of its tokens. `stay`: what is left of each token at the chunk's end; both (groups,
    chunks, time, heads or 1, 1). `number`: the segment of each token, (groups, chunks, time). Tokens that fill up the
    last chunk lose nothing and belong to the last segment.
    """

    logs: Tensor | None = None
    reach: Tensor | None = None
    stay: Tensor | None = None
    number: Tensor | None = None

    def at(self, chunks: slice, time: int) -> tuple["Fading", Tensor | None]:
        """That of some chunks of so many tokens, in one axis with the groups, and what is left of the state before a
        chunk at its end, (rows, 1, heads or 1, 1)."""
        logs, reach, stay, number = (
            None if x is None else x[:, chunks].flatten(0, 1) for x in (self.logs, self.reach, self.stay, self.number)
        )
        if reach is None or stay is None:
            return self, None
        logs, number = (None if x is None else x[..., :time] for x in (logs, number))
        return Fading(logs, reach[:, :time], stay[:, :time], number), reach[:, -1:]


def by_decay(decay: Tensor, groups: int, heads: int, length: int, exact: torch.dtype) -> Fading:
    """`decay`: (batch, heads, time), or fewer heads, each for a group of neighbours."""
    wide = torch.float64 if decay.device.type != "mps" else exact  # sums, whose differences count; mps has no fp64
    steps = decay.to(wide).clamp(min=vanishing(exact)) * math.log2(math.e)
    steps = F.pad(steps, (0, -decay.shape[2] % length)).repeat_interleave(heads // decay.shape[1], 1)
    total = torch.unflatten(steps, 2, (-1, length)).cumsum(3)
    total = torch.unflatten(total, 1, (groups, -1)).transpose(2, 3).flatten(0, 1)
    end = total[..., -1:]
    # sums since the middle are half as large, so their rounding is half as coarse
    logs, reach, stay = (total - end / 2).to(exact), total.to(exact).exp2(), (end - total).to(exact).exp2()
    return Fading(logs.contiguous(), reach.transpose(2, 3).unsqueeze(4), stay.transpose(2, 3).unsqueeze(4))


def by_border(segment: Tensor, groups: int, length: int, fading: Fading, exact: torch.dtype) -> Fading:
    """`fading`, and no token or state reaches past a border of segments, (batch, time)."""
    filled = segment[:, -1:].expand(-1, -segment.shape[1] % length)
    number = torch.unflatten(torch.cat((segment, filled), dim=1), 1, (-1, length)).repeat_interleave(groups, 0)
    before = F.pad(number[:, :-1, -1:], (0, 0, 1, 0))
    known, ends = ((number == one)[..., None, None].to(exact) for one in (before, number[:, :, -1:]))
    if fading.reach is not None and fading.stay is not None:
        known, ends = fading.reach * known, fading.stay * ends
    return Fading(fading.logs, known, ends, number)
