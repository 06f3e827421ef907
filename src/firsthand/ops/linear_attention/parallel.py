"""Linear attention as attention without the softmax: every token meets every other at once, in time² memory."""

import torch
from torch import Tensor


def linear_attention(
    query: Tensor, key: Tensor, value: Tensor, decay: Tensor | None, state: Tensor, segment: Tensor | None
) -> tuple[Tensor, Tensor]:
    """See `firsthand.ops.linear_attention`. The masked form: arXiv 2405.21060, section 4; arXiv 2307.08621, eq. 5."""
    exact, heads, time = state.dtype, state.shape[1], query.shape[2]
    query, key, value = (x.to(exact).repeat_interleave(heads // x.shape[1], 1) for x in (query, key, value))
    logs = query.new_zeros(len(query), heads, time) if decay is None else decay.to(exact)
    logs = logs.clamp(min=vanishing(exact)).cumsum(-1)
    sees = torch.ones(time, time, dtype=torch.bool, device=query.device).tril()
    first = last = None
    if segment is not None:
        sees = sees & (segment[:, :, None] == segment[:, None, :]).unsqueeze(1)
        first, last = (segment == 0)[:, None], (segment == segment[:, -1:])[:, None]
    left = (logs[..., :, None] - logs[..., None, :]).masked_fill(~sees, -torch.inf).exp()
    reach, stay = logs.exp(), (logs[..., -1:] - logs).exp()
    if first is not None and last is not None:
        reach, stay = torch.where(first, reach, 0), torch.where(last, stay, 0)
    out = (query @ key.mT * left) @ value + reach.unsqueeze(-1) * (query @ state)
    return out, reach[..., -1, None, None] * state + key.mT @ (stay.unsqueeze(-1) * value)


def vanishing(exact: torch.dtype) -> float:
    """A logarithm whose exp is zero in `exact`: any smaller one, minus infinity too, may be put in its place."""
    return -750.0 if exact == torch.float64 else -110.0
