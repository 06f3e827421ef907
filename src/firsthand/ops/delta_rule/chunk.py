"""One chunk of the delta rule: what both directions need of it, and its gradients.

What token t writes is u_t = beta_t (v_t - what the state holds under k_t), and the state holds what the tokens before t
have written. Within a chunk that begins with the state S these are linear equations for the rows of U, unit lower
triangular, with D_tj the decay from token j to token t and gamma_t that from the state to token t:

    (I + A) U = beta (V - gamma K S),    A_tj = beta_t (k_t · k_j) D_tj for j < t
    O = gamma Q S + (Q Kᵀ ∘ D) U,        S' = gamma_last S + (D_last K)ᵀ U

(the WY and UT forms: arXiv 2406.06484, section 3.2 and 3.3; with decay: arXiv 2412.06464, section 3.3).
The first axis of all is batch · heads, or 1 where all rows agree.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Chunk:
    query: Tensor
    """(rows, chunk, d_key)"""
    key: Tensor
    """(rows, chunk, d_key)"""
    error: Tensor
    """V - gamma K S, (rows, chunk, d_value)"""
    beta: Tensor
    """(rows, chunk, 1)"""
    knows: Tensor
    """1 where the second token is the first one itself or before it in its segment, else 0, (rows, chunk, chunk)"""
    pair: Tensor
    """D, 0 where a token does not know the other, (rows, chunk, chunk)"""
    carry: Tensor
    """gamma, 0 where a token does not continue the state, (rows, chunk, 1)"""
    overlap: Tensor
    """K Kᵀ ∘ D, (rows, chunk, chunk)"""
    scores: Tensor
    """Q Kᵀ ∘ D, (rows, chunk, chunk)"""
    inverse: Tensor
    """of I + A, (rows, chunk, chunk)"""
    written: Tensor
    """U, (rows, chunk, d_value)"""


def prepare(
    query: Tensor, key: Tensor, value: Tensor, beta: Tensor, decay: Tensor | None, state: Tensor, reach: Tensor
) -> Chunk:
    """The chunk of these tokens, after `state` (rows, d_key, d_value).

    `beta` and `decay` are (rows, chunk, 1); `reach` (rows, chunk, 1 + chunk): 1 where the state and the tokens reach
    a token, else 0.
    """
    carry, knows = reach[:, :, :1], reach[:, :, 1:]
    pair = knows
    if decay is not None:
        since = knows @ decay  # since the segment's first token here, so that others' decay cannot blur it
        pair = (since - since.mT).clamp_(max=0).exp_() * knows
        carry = since.exp() * carry
    overlap = torch.bmm(key, key.mT).mul_(pair)
    # a triangular solve is stable where the product (I - A)(I + A²)(I + A⁴)… is not: keys may be alike
    one = torch.eye(key.shape[1], dtype=key.dtype, device=key.device)
    inverse = torch.linalg.solve_triangular(overlap * beta, one, upper=False, unitriangular=True)
    error = torch.bmm(key, state).mul_(carry).neg_().add_(value)
    written = torch.bmm(inverse, error * beta)
    scores = torch.bmm(query, key.mT).mul_(pair)
    return Chunk(query, key, error, beta, knows, pair, carry, overlap, scores, inverse, written)


def run(chunk: Chunk, state: Tensor) -> tuple[Tensor, Tensor]:
    """What the queries read, (rows, chunk, d_value), and the state after the chunk."""
    c = chunk
    out = torch.baddbmm(torch.bmm(c.query, state).mul_(c.carry), c.scores, c.written)
    return out, torch.baddbmm(state * c.carry[:, -1:], (c.key * c.pair[:, -1, :, None]).mT, c.written)


def gradients(
    chunk: Chunk, before: Tensor, after: Tensor, out_grad: Tensor, after_grad: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Those of query, key, value, beta, decay and the state before, from those of the outputs and the state after."""
    c = chunk
    end = c.pair[:, -1, :, None]
    written_grad = torch.baddbmm(torch.bmm(c.key * end, after_grad), c.scores.mT, out_grad)
    right_grad = torch.bmm(c.inverse.mT, written_grad)  # of the equations' right side
    left_grad = torch.bmm(right_grad, c.written.mT).neg_().tril_(-1)  # of A
    beta_grad = (right_grad * c.error).sum(2).add_((left_grad * c.overlap).sum(2)).unsqueeze(2)
    value_grad = right_grad * c.beta
    overlap_grad = left_grad.mul_(c.pair).mul_(c.beta)
    score_grad = torch.bmm(out_grad, c.written.mT).mul_(c.pair)
    read_grad, held_grad = out_grad * c.carry, value_grad * c.carry
    query_grad = torch.baddbmm(torch.bmm(read_grad, before.mT), score_grad, c.key)
    # a key asks what is held under it, and later tokens meet it in the state
    asking = torch.baddbmm(torch.bmm(overlap_grad, c.key), held_grad, before.mT, alpha=-1)
    met = torch.baddbmm(torch.bmm(overlap_grad.mT, c.key), score_grad.mT, c.query)
    met.addcmul_(torch.bmm(c.written, after_grad.mT), end)
    # each query and asking key comes with the decay up to it, each key met with that decay undone
    since_grad = (c.query * query_grad + c.key * (asking - met)).sum(2, keepdim=True)
    since_grad[:, -1] += (after * after_grad).sum((1, 2)).unsqueeze(1)
    decay_grad = c.knows.mT @ since_grad
    before_grad = torch.baddbmm(after_grad * c.carry[:, -1:], c.query.mT, read_grad)
    before_grad.baddbmm_(c.key.mT, held_grad, alpha=-1)
    return query_grad, asking.add_(met), value_grad, beta_grad, decay_grad, before_grad
