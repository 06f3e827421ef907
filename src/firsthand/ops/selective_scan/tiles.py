"""The selective scan and its gradients, tile by tile: rows and channels that stay in the cache, CHUNK tokens at a time.

No tensor of (batch, time, channels, d_state) ever exists. Only the state before each chunk is kept, and the backward
pass computes the chunk's other states anew from it, as the paper's kernel does (arXiv 2312.00752, section 3.3.2).
Inside a tile a state is (d_state, channels): memory runs along the channels, and the sums over either axis are small
matrix products.
"""

import math

import torch
from torch import Tensor

CHUNK = 32
"""Tokens from one kept state to the next; what is kept weighs d_state / CHUNK of the input."""
TILE_NUMBERS = 1 << 15
"""About so many numbers of a state are scanned together: enough to hide the cost of a call."""
LOG2_E = math.log2(math.e)
"""exp(x) = exp2(x · LOG2_E), and on a CPU torch's exp2 takes a third of its exp's time."""


def scan(
    inflow: Tensor, step: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor, keep: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """h_t = exp(step_t A) h_{t-1} + B_t inflow_t and y_t = C_t h_t: y, the last h, and the h before each chunk.

    inflow, step, y: (batch, time, channels). A: (d_state, channels). B, C: (batch, time, d_state). A state: (batch,
    d_state, channels). Kept are (chunks, batch, d_state, channels), or nothing unless `keep`.
    """
    times = chunks(inflow.shape[1])
    y, after = torch.empty_like(inflow), torch.empty_like(state)
    kept = state.new_empty(len(times) if keep else 0, *state.shape)
    for rows, columns in _tiles(state):
        h, rates = state[rows, :, columns].clone(), A[:, columns] * LOG2_E
        room = h.new_empty(2, min(CHUNK, inflow.shape[1]), *h.shape)
        for number, here in enumerate(times):
            if keep:
                kept[number, rows, :, columns] = h
            v, s, b, c = _by_time(rows, here, columns, inflow, step, B, C)
            _, states = _states(h, v, s, b, rates, room)
            y[rows, here, columns] = _sum_states(c, states)
            h.copy_(states[-1])
        after[rows, :, columns] = h
    return y, after, kept


def scan_backward(
    y_grad: Tensor, after_grad: Tensor, inflow: Tensor, step: Tensor, A: Tensor, B: Tensor, C: Tensor, kept: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of inflow, step, A, B, C and the state, chunk by chunk from the last to the first.

    The gradient of h_t is C_t y_grad_t, and what the next token hands back: its own gradient, faded.
    """
    inflow_grad, step_grad, state_grad = (torch.empty_like(t) for t in (inflow, step, after_grad))
    A_grad, B_grad, C_grad = (torch.zeros_like(t) for t in (A, B, C))
    for rows, columns in _tiles(after_grad):
        flow, rates = after_grad[rows, :, columns].clone(), A[:, columns] * LOG2_E
        room = flow.new_empty(3, min(CHUNK, inflow.shape[1]), *flow.shape)
        for number, here in reversed(list(enumerate(chunks(inflow.shape[1])))):
            v, s, b, c, g = _by_time(rows, here, columns, inflow, step, B, C, y_grad)
            h = kept[number, rows, :, columns]
            fades, states = _states(h, v, s, b, rates, room)
            C_grad[rows, here] += _sum_channels(g, states)
            grads = torch.mul(c.unsqueeze(-1), g.unsqueeze(-2), out=room[2, : len(g)])
            handed = flow
            for grad, fade in zip(reversed(grads.unbind()), reversed(fades.unbind()), strict=True):
                handed = fade.mul_(grad.add_(handed))
            flow.copy_(handed)
            inflow_grad[rows, here, columns] = _sum_states(b, grads)
            B_grad[rows, here] += _sum_channels(v, grads)
            # what is handed back, times the state it fades, is the gradient of the exponent
            exponents = fades
            exponents[1:] *= states[:-1]
            exponents[0] *= h
            A_grad[:, columns] += torch.mul(exponents, s.unsqueeze(-2), out=grads).sum((0, 1))
            step_grad[rows, here, columns] = exponents.mul_(A[:, columns]).sum(-2).transpose(0, 1)
        state_grad[rows, :, columns] = flow
    return inflow_grad, step_grad, A_grad, B_grad, C_grad, state_grad


def _states(h: Tensor, inflow: Tensor, step: Tensor, B: Tensor, rates: Tensor, room: Tensor) -> tuple[Tensor, Tensor]:
    """exp(step A) and the state of each token of a chunk, (time, rows, d_state, channels), in `room`."""
    time = len(inflow)
    fades = torch.mul(step.unsqueeze(-2), rates, out=room[0, :time])
    torch.exp2(fades, out=fades)
    states = torch.mul(B.unsqueeze(-1), inflow.unsqueeze(-2), out=room[1, :time])
    for state, fade in zip(states.unbind(), fades.unbind(), strict=True):
        h = state.addcmul_(fade, h)
    return fades, states


def _sum_states(factor: Tensor, states: Tensor) -> Tensor:
    """Σ over d_state of factor (time, rows, d_state) times states: (rows, time, channels)."""
    return (factor.unsqueeze(-2) @ states).squeeze(-2).transpose(0, 1)


def _sum_channels(factor: Tensor, states: Tensor) -> Tensor:
    """Σ over channels of factor (time, rows, channels) times states: (rows, time, d_state)."""
    return (factor.unsqueeze(-2) @ states.mT).squeeze(-2).transpose(0, 1)


def _by_time(
    rows: slice, here: slice, columns: slice, inflow: Tensor, step: Tensor, B: Tensor, C: Tensor, *more: Tensor
) -> list[Tensor]:
    """The tile's share of each at the times `here`, time first."""
    parts = [inflow[rows, here, columns], step[rows, here, columns], B[rows, here], C[rows, here]]
    return [part.transpose(0, 1) for part in (*parts, *(tensor[rows, here, columns] for tensor in more))]


def chunks(time: int) -> list[slice]:
    return [slice(start, start + CHUNK) for start in range(0, time, CHUNK)]


def _tiles(state: Tensor) -> list[tuple[slice, slice]]:
    """Rows and channels of (batch, d_state, channels) that are scanned together."""
    batch, d_state, channels = state.shape
    columns = min(channels, max(1, TILE_NUMBERS // d_state))
    rows = max(1, TILE_NUMBERS // (d_state * columns))
    return [
        (slice(row, row + rows), slice(column, column + columns))
        for row in range(0, batch, rows)
        for column in range(0, channels, columns)
    ]
