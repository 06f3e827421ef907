"""The delta rule a chunk of tokens at a time, in matrix products, with a gradient written by hand.

Gradients need the inputs and the state before each chunk. What else a chunk needs is computed anew on the way back:
that takes little time and keeps memory small. Both directions are operators to torch, so a compiler takes each as one
step and does not unroll the loop over the chunks.
"""

from typing import Any

import torch
from torch import Tensor

from firsthand.ops.delta_rule.chunk import Chunk, gradients, prepare, run

CHUNK = 32
"""Tokens in a chunk: the fastest of 16, 32, 64 and 128 on a CPU with d_head 64 and 128."""


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
    inputs = (query, key, value, beta, decay, state)
    learns = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs)
    out, last, _ = _forward(*inputs, segment, learns)
    return out, last


@torch.library.custom_op("firsthand::delta_rule", mutates_args=())
def _forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    beta: Tensor,
    decay: Tensor | None,
    state: Tensor,
    segment: Tensor | None,
    learns: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs, the last state, and if it `learns` the state before each chunk, (chunks, rows, d_key, d_value)."""
    out, last, states = _empty(query, key, value, beta, decay, state, segment, learns)
    memory = state.flatten(0, 1)
    for number, start in enumerate(range(0, beta.shape[2], CHUNK)):
        if learns:
            states[number] = memory
        chunk = _at(start, query, key, value, beta, decay, memory, segment)
        read, memory = run(chunk, memory)
        out[:, :, start : start + CHUNK] = read.view(*beta.shape[:2], *read.shape[1:])
    return out, last.copy_(memory.view_as(last)), states


@_forward.register_fake
def _empty(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    beta: Tensor,
    decay: Tensor | None,
    state: Tensor,
    segment: Tensor | None,
    learns: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Room for what `_forward` returns."""
    batch, heads, time = beta.shape
    # tokens stand before heads in memory: the caller merges heads without a copy
    out = value.new_empty(batch, time, heads, value.shape[3]).transpose(1, 2)
    chunks = (time + CHUNK - 1) // CHUNK if learns else 0
    return out, state.new_empty(state.shape), state.new_empty(chunks, batch * heads, *state.shape[2:])


@torch.library.custom_op("firsthand::delta_rule_backward", mutates_args=())
def _backward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    beta: Tensor,
    decay: Tensor | None,
    segment: Tensor | None,
    last: Tensor,
    states: Tensor,
    out_grad: Tensor,
    last_grad: Tensor,
) -> list[Tensor]:
    """The gradients of query, key, value, beta, decay (if there is one) and state."""
    inputs = [query, key, value, beta] if decay is None else [query, key, value, beta, decay]
    grads = [torch.empty_like(x) for x in inputs]
    after, memory_grad = last.flatten(0, 1), last_grad.flatten(0, 1)
    for number in reversed(range(len(states))):
        start, before = number * CHUNK, states[number]
        chunk = _at(start, query, key, value, beta, decay, before, segment)
        incoming = _rows(out_grad, start, beta.shape[1], last.dtype)
        *found, memory_grad = gradients(chunk, before, after, incoming, memory_grad)
        for grad, own in zip(grads, found, strict=False):  # no decay, no gradient of it
            _put(grad, start, own)
        after = before
    return [*grads, memory_grad.view_as(last)]


@_backward.register_fake
def _(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    beta: Tensor,
    decay: Tensor | None,
    segment: Tensor | None,
    last: Tensor,
    states: Tensor,
    out_grad: Tensor,
    last_grad: Tensor,
) -> list[Tensor]:
    return [torch.empty_like(x) for x in (query, key, value, beta, decay, last) if x is not None]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    query, key, value, beta, decay, _, segment, _ = inputs
    ctx.save_for_backward(query, key, value, beta, decay, segment, *output[1:])


def _differentiate(ctx: Any, out_grad: Tensor, last_grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    *grads, state_grad = _backward(*ctx.saved_tensors, out_grad, last_grad)
    return *grads, *[None] * (5 - len(grads)), state_grad, None, None


_forward.register_autograd(_differentiate, setup_context=_keep)


def _at(
    start: int,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    beta: Tensor,
    decay: Tensor | None,
    memory: Tensor,
    segment: Tensor | None,
) -> Chunk:
    """The chunk that begins at token `start`."""
    heads, exact = beta.shape[1], memory.dtype
    query, key, value, beta = (_rows(x, start, heads, exact) for x in (query, key, value, beta.unsqueeze(3)))
    decay = None if decay is None else _rows(decay.unsqueeze(3), start, heads, exact)
    return prepare(query, key, value, beta, decay, memory, _reach(segment, start, heads, beta))


def _rows(x: Tensor, start: int, heads: int, dtype: torch.dtype) -> Tensor:
    """(batch · heads, chunk, channels) of x (batch, own heads, time, channels); heads of a group get the same."""
    own, group = x[:, :, start : start + CHUNK].to(dtype), heads // x.shape[1]
    return (own if group == 1 else own.repeat_interleave(group, 1)).flatten(0, 1)


def _put(grad: Tensor, start: int, own: Tensor) -> None:
    """Write a chunk's gradient (batch · heads, chunk, channels) into its place, summed over the heads of a group."""
    chunk = grad[:, :, start : start + CHUNK]
    own = own.view(*grad.shape[:2], -1, *chunk.shape[2:])
    chunk.copy_(own.squeeze(2) if own.shape[2] == 1 else own.sum(2))


def _reach(segment: Tensor | None, start: int, heads: int, like: Tensor) -> Tensor:
    """(rows, chunk, 1 + chunk): 1 where the state, and then each token of the chunk, reaches a token."""
    length = like.shape[1]
    past = torch.ones(length, 1 + length, dtype=like.dtype, device=like.device).tril(1)
    if segment is None:
        return past.unsqueeze(0)
    own = segment[:, start : start + length]
    before = segment[:, start - 1 : start] if start else torch.zeros_like(own[:, :1])
    same = own.unsqueeze(2) == torch.cat((before, own), dim=1).unsqueeze(1)
    return (same * past).repeat_interleave(heads, 0)
