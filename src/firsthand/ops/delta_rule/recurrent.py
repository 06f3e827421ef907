"""The delta rule token by token in matrix products: what a decoding step runs."""

import torch
from torch import Tensor


def delta_rule(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    beta: Tensor,
    decay: Tensor | None,
    state: Tensor,
    segment: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """See `firsthand.ops.delta_rule`."""
    batch, heads, time = beta.shape
    query, key, value = (_columns(x, heads, state.dtype) for x in (query, key, value))
    shares = beta.to(state.dtype).view(batch * heads, time, 1)
    kept = None if decay is None else decay.to(state.dtype).exp().view(batch * heads, time, 1)
    memory, outputs = state.flatten(0, 1), []
    for t in range(time):
        if segment is not None:
            same = segment[:, t] == (segment[:, t - 1] if t else 0)
            memory = torch.where(same.repeat_interleave(heads).view(-1, 1, 1), memory, 0)
        if kept is not None:
            memory = memory * kept[:, t, None]
        now = slice(t, t + 1)
        error = torch.baddbmm(value[:, now], key[:, now], memory, alpha=-1)
        memory = torch.baddbmm(memory, key[:, now].mT, error * shares[:, now])
        outputs.append(torch.bmm(query[:, now], memory))
    out = torch.cat(outputs, dim=1).view(batch, heads, time, -1)
    return out, memory.view(state.shape)


def _columns(x: Tensor, heads: int, dtype: torch.dtype) -> Tensor:
    """(batch · heads, time, channels), every head with a copy of what its group shares."""
    return x.repeat_interleave(heads // x.shape[1], 1).flatten(0, 1).to(dtype)
