"""Linear attention a chunk at a time: products within a chunk, and one state handed from chunk to chunk.

The chunkwise form of arXiv 2405.21060, section 6, and arXiv 2307.08621, eq. 7. Heads that share queries and keys (the
groups of Mamba-2) share their scores, and their states are the columns of one matrix. The gradient is written by hand:
it keeps the inputs and nothing else, and goes through the chunks twice.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from firsthand.ops.linear_attention.chunks import Chunk, Chunks, times


def linear_attention(
    query: Tensor, key: Tensor, value: Tensor, decay: Tensor | None, state: Tensor, segment: Tensor | None
) -> tuple[Tensor, Tensor]:
    """See `firsthand.ops.linear_attention`."""
    if torch.compiler.is_compiling():
        return _forward(Chunks(query, key, value, decay, segment, state.shape[1], state.dtype), state)
    found: tuple[Tensor, Tensor] = _Chunked.apply(query, key, value, decay, state, segment)  # type: ignore[no-untyped-call]
    return found


def _forward(chunks: Chunks, state: Tensor) -> tuple[Tensor, Tensor]:
    S, parts = chunks.state_in(state), []
    for span in chunks.spans():
        chunk = chunks.chunk(span)
        weights = chunk.left() * (chunk.query @ chunk.key.mT).unsqueeze(1)
        parts.append(_mix(weights, chunk.value) + times(_each(chunk.query, S), chunk.reach))
        S = _carry(chunk, S)
    return chunks.spread(torch.cat(parts, dim=1)), chunks.spread(S)


def _carry(chunk: Chunk, S: Tensor) -> Tensor:
    """The state after the chunk."""
    return _each(chunk.key.mT, times(chunk.value, chunk.stay), times(S, chunk.keep))


def _each(matrix: Tensor, columns: Tensor, plus: Tensor | None = None) -> Tensor:
    """(groups, a, b) times (groups, b, heads, d): one product for the columns of all heads. `plus` is added."""
    flat = columns.flatten(2)
    out = torch.bmm(matrix, flat) if plus is None else torch.baddbmm(plus.flatten(2), matrix, flat)
    return torch.unflatten(out, 2, columns.shape[2:])


def _mix(weights: Tensor, columns: Tensor) -> Tensor:
    """(groups, heads or 1, a, b) times (groups, b, heads, d), each head with its own weights."""
    if weights.shape[1] == 1:
        return _each(weights.squeeze(1), columns)
    return (weights @ columns.transpose(1, 2)).transpose(1, 2)


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, decay: Tensor | None, state: Tensor, segment: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(query, key, value, decay, state, segment)
        return _forward(Chunks(query, key, value, decay, segment, state.shape[1], state.dtype), state)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, out_grad: Tensor, state_grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, decay, state, segment = ctx.saved_tensors
        chunks = Chunks(query, key, value, decay, segment, state.shape[1], state.dtype)
        grads = _Gradients(chunks, ages=ctx.needs_input_grad[3])
        last = grads.onward(chunks.state_in(state), out_grad)
        first = grads.back(chunks.state_in(state_grad), out_grad)
        decay_grad = None
        if decay is not None and grads.age is not None:
            # a decay counts for what later tokens read, less what later tokens wrote, and for all of the last state
            later = grads.age.flip(2).double().cumsum(2).flip(2)
            whole = (last * chunks.state_in(state_grad)).sum((1, 3)).view(len(state), -1, 1)
            decay_grad = (later + whole).to(decay.dtype)
        return (
            grads.query.to(query.dtype),
            grads.key.to(key.dtype),
            grads.value.to(value.dtype),
            decay_grad,
            chunks.spread(first),
            None,
        )


class _Gradients:
    """Of all inputs, filled in two passes. `age`, (batch, heads, time): of the logarithm of all decay up to a token."""

    def __init__(self, chunks: Chunks, ages: bool) -> None:
        self.chunks = chunks
        self.query, self.key, self.value = (
            torch.empty_like(x, dtype=chunks.exact) for x in (chunks.query, chunks.key, chunks.value)
        )
        self.age = torch.empty_like(chunks.decay, dtype=chunks.exact) if chunks.decay is not None and ages else None

    def onward(self, S: Tensor, out_grad: Tensor) -> Tensor:
        """All that comes from the same chunk or from the state before it. Returns the last state."""
        chunks = self.chunks
        for span in chunks.spans():
            chunk, dy = chunks.chunk(span), chunks.cut(out_grad, span, chunks.heads)
            left = chunk.left()
            scores = (chunk.query @ chunk.key.mT).unsqueeze(1)
            if left.shape[1] == 1:
                weights_grad = torch.bmm(dy.flatten(2), chunk.value.flatten(2).mT).unsqueeze(1)
            else:
                weights_grad = dy.transpose(1, 2) @ chunk.value.permute(0, 2, 3, 1)
            weights = left * scores
            chunks.put(self.value, _mix(weights.mT, dy), span)
            scores_grad = left.mul_(weights_grad).sum(1) if left.shape[1] > 1 else (left * weights_grad).squeeze(1)
            faded = times(dy, chunk.reach)
            query_grad = torch.baddbmm(scores_grad @ chunk.key, faded.flatten(2), S.flatten(2).mT)
            chunks.put(self.query, query_grad.unsqueeze(2), span)
            chunks.put(self.key, (scores_grad.mT @ chunk.query).unsqueeze(2), span)
            if self.age is not None:
                told = weights.mul_(weights_grad)
                age = (told.sum(3) - told.sum(2)).transpose(1, 2) + (faded * _each(chunk.query, S)).sum(3)
                chunks.put(self.age, age, span)
            S = _carry(chunk, S)
        return S

    def back(self, dS: Tensor, out_grad: Tensor) -> Tensor:
        """All that comes through the state after a chunk. Returns the gradient of the first state."""
        chunks = self.chunks
        for span in reversed(chunks.spans()):
            chunk, dy = chunks.chunk(span), chunks.cut(out_grad, span, chunks.heads)
            stayed = times(chunk.value, chunk.stay)
            chunks.put(self.key, torch.bmm(stayed.flatten(2), dS.flatten(2).mT).unsqueeze(2), span, add=True)
            value_grad = times(_each(chunk.key, dS), chunk.stay)
            chunks.put(self.value, value_grad, span, add=True)
            if self.age is not None:
                chunks.put(self.age, -(value_grad * chunk.value).sum(3), span, add=True)
            dS = _each(chunk.query.mT, times(dy, chunk.reach), times(dS, chunk.keep))
        return dS
