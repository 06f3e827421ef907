"""Linear attention a chunk at a time: products within a chunk, and one state handed from chunk to chunk.

The chunkwise form of arXiv 2405.21060, section 6, and arXiv 2307.08621, eq. 7. Heads that share queries and keys (the
groups of Mamba-2) share their scores, and their states are the columns of one matrix. The gradient is written by hand:
it keeps the inputs and the state before each chunk, and goes through the chunks once, from the last to the first.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from firsthand.ops.linear_attention.chunks import Chunks, Run


def linear_attention(
    query: Tensor, key: Tensor, value: Tensor, decay: Tensor | None, state: Tensor, segment: Tensor | None
) -> tuple[Tensor, Tensor]:
    """See `firsthand.ops.linear_attention`."""
    if torch.compiler.is_compiling():
        return _forward(Chunks(query, key, value, decay, segment, state.shape[1], state.dtype), state)[:2]
    found: tuple[Tensor, Tensor] = _Chunked.apply(query, key, value, decay, state, segment)  # type: ignore[no-untyped-call]
    return found


def _forward(chunks: Chunks, state: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Outputs, the last state, and for each run the states before its chunks, (rows, d_key, heads, d_value)."""
    S, parts, states = chunks.state_in(state), [], []
    for span in chunks.spans():
        run = chunks.run(span)
        before, S = _pass_on(run, S, _each(run.key.mT, _times(run.value, run.stay)))
        weights = (run.left() * (run.query @ run.key.mT).unsqueeze(1)).to(chunks.product)
        out = _plus_times(_mix(weights, run.value), _each(run.query, before), run.reach)
        parts.append(chunks.spread(out, run.chunks))
        states.append(before)
    return torch.cat(parts, dim=2), chunks.state_out(S), states


def _pass_on(run: Run, S: Tensor, added: Tensor, back: bool = False) -> tuple[Tensor, Tensor]:
    """The state S handed through the chunks, each of which keeps some of it and adds its own, (rows, d_key, heads,
    d_value). Returns what each has received, in the dtype of `added`, and what the last one hands on."""
    added = torch.unflatten(added, 0, (-1, run.chunks))
    keep = None if run.keep is None else torch.unflatten(run.keep, 0, (-1, run.chunks))
    received = torch.empty_like(added)
    for chunk in reversed(range(run.chunks)) if back else range(run.chunks):
        received[:, chunk] = S
        S = added[:, chunk] + S if keep is None else torch.addcmul(added[:, chunk], S, keep[:, chunk])
    return received.flatten(0, 1), S


def _each(matrix: Tensor, columns: Tensor) -> Tensor:
    """(rows, a, b) times (rows, b, heads, d): one product for the columns of all heads."""
    return torch.unflatten(torch.bmm(matrix, columns.flatten(2)), 2, columns.shape[2:])


def _mix(weights: Tensor, columns: Tensor) -> Tensor:
    """(rows, heads or 1, a, b) times (rows, b, heads, d), each head with its own weights."""
    if weights.shape[1] == 1:
        return _each(weights.squeeze(1), columns)
    return (weights @ columns.transpose(1, 2)).transpose(1, 2)


def _times(x: Tensor, factor: Tensor | None) -> Tensor:
    return x if factor is None else x * factor


def _plus_times(first: Tensor, x: Tensor, factor: Tensor | None) -> Tensor:
    return first + x if factor is None else torch.addcmul(first, x, factor)


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, decay: Tensor | None, state: Tensor, segment: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        chunks = Chunks(query, key, value, decay, segment, state.shape[1], state.dtype)
        out, last, states = _forward(chunks, state)
        ctx.save_for_backward(query, key, value, decay, segment, *states)
        ctx.heads, ctx.exact = state.shape[1], state.dtype
        return out, last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, out_grad: Tensor, state_grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, decay, segment, *states = ctx.saved_tensors
        chunks = Chunks(query, key, value, decay, segment, ctx.heads, ctx.exact)
        grads = _Gradients(chunks, decay if ctx.needs_input_grad[3] else None)
        dS = chunks.state_in(state_grad)
        for span, before in zip(reversed(chunks.spans()), reversed(states), strict=True):
            dS = grads.run(span, before, dS, out_grad)
        return grads.query, grads.key, grads.value, grads.decay, chunks.state_out(dS), None


class _Gradients:
    """Of all inputs, filled in one run at a time, from the last to the first."""

    def __init__(self, chunks: Chunks, decay: Tensor | None) -> None:
        self.chunks = chunks
        self.query, self.key, self.value = (torch.empty_like(x) for x in (chunks.query, chunks.key, chunks.value))
        self.decay = None if decay is None else torch.empty_like(decay)

    def run(self, span: tuple[int, int, int], before: Tensor, dS: Tensor, out_grad: Tensor) -> Tensor:
        """From the states before the chunks and the gradient of that after them, the gradient of that before them."""
        chunks, run = self.chunks, self.chunks.run(span)
        dy = chunks.cut(out_grad, span, chunks.heads)
        stayed, faded = _times(run.value, run.stay), _times(dy, run.reach)
        after, dS = _pass_on(run, dS, _each(run.query.mT, faded), back=True)
        scores_grad, value_grad, fall = self._within(run, dy)
        query_grad = torch.baddbmm(scores_grad @ run.key, faded.flatten(2), before.flatten(2).mT)
        key_grad = torch.baddbmm(scores_grad.mT @ run.query, stayed.flatten(2), after.flatten(2).mT)
        chunks.put(self.query, query_grad.unsqueeze(2), span)
        chunks.put(self.key, key_grad.unsqueeze(2), span)
        kept = _each(run.key, after)
        chunks.put(self.value, _plus_times(value_grad, kept, run.stay), span)
        if self.decay is not None and run.keep is not None:
            read, written = _dot(_each(run.query, before), faded), _dot(kept, stayed)
            through = (before * after).sum((1, 3), dtype=chunks.exact).unsqueeze(1) * run.keep.squeeze(3)
            # a decay weighs what the tokens from its own on read of those before it, and what these hand on
            later = (fall + read).flip(1).cumsum(1).flip(1)
            earlier = written.cumsum(1) - written
            chunks.put(self.decay, later + earlier + through, span)
        return dS

    def _within(self, run: Run, dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of scores and values within the chunks, and of the decays since a chunk's begin."""
        left, scores = run.left(), (run.query @ run.key.mT).unsqueeze(1)
        weights = (left * scores).to(self.chunks.product)
        if left.shape[1] == 1:
            value_grad = _each(weights.squeeze(1).mT, dy)
            weights_grad = torch.bmm(dy.flatten(2), run.value.flatten(2).mT).unsqueeze(1)
        else:
            incoming, values = (x.transpose(1, 2).contiguous() for x in (dy, run.value))
            value_grad = (weights.mT @ incoming).transpose(1, 2)
            weights_grad = incoming @ values.mT
        scores_grad = left.mul_(weights_grad) if left.shape[1] > 1 else left * weights_grad
        told = scores_grad * scores
        fall = (told.sum(3) - told.sum(2)).transpose(1, 2)
        return scores_grad.sum(1).to(self.chunks.product), value_grad, fall


def _dot(x: Tensor, y: Tensor) -> Tensor:
    """Over the last axis, summed in fp32 at least."""
    return (x * y).sum(3, dtype=torch.promote_types(x.dtype, torch.float32))
