"""Linear attention a chunk at a time: products within a chunk, and one state handed from chunk to chunk.

The chunkwise form of arXiv 2405.21060, section 6, and arXiv 2307.08621, eq. 7. Heads that share queries and keys (the
groups of Mamba-2) share their scores, and their states are the columns of one matrix. The gradient is written by hand:
it keeps the inputs and the state before each chunk, and goes through the chunks once, from the last to the first.
"""

from typing import Any

import torch
from torch import Tensor

from firsthand.ops.linear_attention.chunks import Chunks, Run


def linear_attention(
    query: Tensor, key: Tensor, value: Tensor, decay: Tensor | None, state: Tensor, segment: Tensor | None
) -> tuple[Tensor, Tensor]:
    """See `firsthand.ops.linear_attention`."""
    inputs = (query, key, value, decay, state)
    learns = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs)
    out, last, _ = _forward(*inputs, segment, learns)
    return out, last


@torch.library.custom_op("firsthand::linear_attention", mutates_args=())
def _forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    decay: Tensor | None,
    state: Tensor,
    segment: Tensor | None,
    learns: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs, the last state, and if it `learns` that before each chunk, (groups, chunks, d_key, heads, d_value)."""
    chunks = Chunks(query, key, value, decay, segment, state.shape[1], state.dtype)
    out, last, states = _empty(query, key, value, decay, state, segment, learns)
    S = chunks.state_in(state)
    for span in chunks.spans():
        run = chunks.run(span)
        before, S = _pass_on(run, S, _each(run.key.mT, _times(run.value, run.stay)))
        weights = (run.left() * (run.query @ run.key.mT).unsqueeze(1)).to(chunks.product)
        read = _each(run.query, before.flatten(0, 1))
        chunks.put(out, _plus_times(_mix(weights, run.value), read, run.reach), span)
        if learns:
            states[:, span[0] : span[0] + run.chunks] = before
    return out, last.copy_(chunks.state_out(S)), states


@_forward.register_fake
def _empty(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    decay: Tensor | None,
    state: Tensor,
    segment: Tensor | None,
    learns: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Room for what `_forward` returns."""
    batch, heads, d_key, d_value = state.shape
    # tokens stand before heads in memory: the caller merges heads without a copy
    out = value.new_empty(batch, query.shape[2], heads, d_value).transpose(1, 2)
    chunks = Chunks(query, key, value, None, None, heads, state.dtype)
    rows, count = batch * chunks.groups, chunks.count if learns else 0
    states = value.new_empty(rows, count, d_key, heads // chunks.groups, d_value, dtype=chunks.product)
    return out, state.new_empty(state.shape), states


@torch.library.custom_op("firsthand::linear_attention_backward", mutates_args=())
def _backward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    decay: Tensor | None,
    segment: Tensor | None,
    states: Tensor,
    out_grad: Tensor,
    last_grad: Tensor,
    decay_learns: bool,
) -> list[Tensor]:
    """The gradients of query, key, value, decay (if it learns) and state."""
    chunks = Chunks(query, key, value, decay, segment, last_grad.shape[1], last_grad.dtype)
    grads = _Gradients(chunks, decay if decay_learns else None)
    dS = chunks.state_in(last_grad)
    for span in reversed(chunks.spans()):
        dS = grads.run(span, states[:, span[0] : span[0] + span[1]], dS, out_grad)
    found = [grads.query, grads.key, grads.value, *([] if grads.decay is None else [grads.decay])]
    return [*found, torch.empty_like(last_grad).copy_(chunks.state_out(dS))]


@_backward.register_fake
def _(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    decay: Tensor | None,
    segment: Tensor | None,
    states: Tensor,
    out_grad: Tensor,
    last_grad: Tensor,
    decay_learns: bool,
) -> list[Tensor]:
    learning = (query, key, value, decay if decay_learns else None, last_grad)
    return [torch.empty_like(x) for x in learning if x is not None]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    query, key, value, decay, _, segment, _ = inputs
    ctx.save_for_backward(query, key, value, decay, segment, output[2])


def _differentiate(ctx: Any, out_grad: Tensor, last_grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    *grads, state_grad = _backward(*ctx.saved_tensors, out_grad, last_grad, ctx.needs_input_grad[3])
    return *grads, *[None] * (4 - len(grads)), state_grad, None, None


_forward.register_autograd(_differentiate, setup_context=_keep)


def _pass_on(run: Run, S: Tensor, added: Tensor, back: bool = False) -> tuple[Tensor, Tensor]:
    """The state S handed through the chunks, each of which keeps some of it and adds its own, (rows, d_key, heads,
    d_value). Returns what each has received, (groups, chunks, d_key, heads, d_value), in the dtype of `added`, and what
    the last one hands on."""
    added = torch.unflatten(added, 0, (-1, run.chunks))
    keep = None if run.keep is None else torch.unflatten(run.keep, 0, (-1, run.chunks))
    received = torch.empty_like(added)
    for chunk in reversed(range(run.chunks)) if back else range(run.chunks):
        received[:, chunk] = S
        S = added[:, chunk] + S if keep is None else torch.addcmul(added[:, chunk], S, keep[:, chunk])
    return received, S


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


class _Gradients:
    """Of all inputs, filled in one run at a time, from the last to the first."""

    def __init__(self, chunks: Chunks, decay: Tensor | None) -> None:
        self.chunks = chunks
        self.query, self.key, self.value = (torch.empty_like(x) for x in (chunks.query, chunks.key, chunks.value))
        self.decay = None if decay is None else torch.empty_like(decay)

    def run(self, span: tuple[int, int, int], before: Tensor, dS: Tensor, out_grad: Tensor) -> Tensor:
        """From the states before the chunks and the gradient of that after them, the gradient of that before them."""
        before = before.flatten(0, 1)
        chunks, run = self.chunks, self.chunks.run(span)
        dy = chunks.cut(out_grad, span, chunks.heads)
        stayed, faded = _times(run.value, run.stay), _times(dy, run.reach)
        received, dS = _pass_on(run, dS, _each(run.query.mT, faded), back=True)
        after = received.flatten(0, 1)
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
