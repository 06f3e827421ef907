"""The gated delta rule: a matrix that is told what it should hold. One function, its versions, and the rule."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from firsthand.ops.choice import version_for
from firsthand.ops.delta_rule import chunked, recurrent
from firsthand.ops.delta_rule.reference import delta_rule as _definition
from firsthand.ops.state import fresh_state

__all__ = ["VERSIONS", "delta_rule"]


def _reference(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    beta: Tensor,
    decay: Tensor | None,
    state: Tensor,
    segment: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The definition, called as the others are."""
    heads = beta.shape[1]
    query, key, value = (x.to(state.dtype).repeat_interleave(heads // x.shape[1], 1) for x in (query, key, value))
    beta = beta.to(state.dtype)
    decay = torch.zeros_like(beta) if decay is None else decay.to(state.dtype)
    segment = beta.new_zeros(beta.shape[0], beta.shape[2], dtype=torch.long) if segment is None else segment
    return _definition(query, key, value, beta, decay, state, segment)


VERSIONS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "reference": _reference,
    "recurrent": recurrent.delta_rule,
    "chunked": chunked.delta_rule,
}


def delta_rule(
    query: Float[Tensor, "batch query_heads time d_key"],
    key: Float[Tensor, "batch key_heads time d_key"],
    value: Float[Tensor, "batch value_heads time d_value"],
    beta: Float[Tensor, "batch heads time"],
    decay: Float[Tensor, "batch heads time"] | None = None,
    state: Float[Tensor, "batch heads d_key d_value"] | None = None,
    segment: Int[Tensor, "batch time"] | None = None,
    version: str = "auto",
) -> tuple[Float[Tensor, "batch heads time d_value"], Float[Tensor, "batch heads d_key d_value"]]:
    """o_t = S_tᵀ q_t with S_t = exp(decay_t) (I - beta_t k_t k_tᵀ) S_{t-1} + beta_t k_t v_tᵀ, and the last S.

    The delta rule of arXiv 2406.06484; with `decay` (a logarithm, at most 0; None: 0) that of arXiv 2412.06464. With
    keys of unit length and `beta` between 0 and 2 no state grows without bound. Queries, keys and values may have
    fewer heads than `beta`: equal groups of neighbours share one. `state` is what was there before (None: nothing), in
    fp32, or fp64 for such inputs. `segment` counts the document borders in each row: tokens of segment 0 go on from
    the state, any other segment starts from nothing. The output has the values' dtype. `version` forces one of
    VERSIONS; UserError if there is none.
    """
    batch, heads, time = beta.shape
    if state is None:
        state = fresh_state(value, batch, heads, key.shape[3], value.shape[3])
    exact = torch.promote_types(value.dtype, torch.float32)
    run = version_for("delta_rule", VERSIONS, version, "chunked" if time > 1 else "recurrent", value)
    with torch.autocast(value.device.type, enabled=False):
        out, state = run(query, key, value, beta, decay, state.to(exact), segment)
    return out.to(value.dtype), state
