"""Linear attention: a matrix for each head that tokens write to and read from. One function, its versions, the rule."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from firsthand.errors import UserError
from firsthand.ops.choice import version_for
from firsthand.ops.linear_attention import chunked, parallel, step
from firsthand.ops.linear_attention.reference import linear_attention as _definition
from firsthand.ops.state import fresh_state

__all__ = ["VERSIONS", "linear_attention"]


def _reference(
    query: Tensor, key: Tensor, value: Tensor, decay: Tensor | None, state: Tensor, segment: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The definition, called as the others are."""
    exact, (batch, heads) = state.dtype, state.shape[:2]
    query, key, value = (x.to(exact).repeat_interleave(heads // x.shape[1], 1) for x in (query, key, value))
    decay = query.new_zeros(query.shape[:3]) if decay is None else decay.to(exact)
    if segment is None:
        segment = torch.zeros((batch, query.shape[2]), dtype=torch.long, device=query.device)
    return _definition(query, key, value, decay, state, segment)


VERSIONS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "reference": _reference,
    "parallel": parallel.linear_attention,
    "chunked": chunked.linear_attention,
    "step": step.linear_attention,
}


def linear_attention(
    query: Float[Tensor, "batch query_heads time d_key"],
    key: Float[Tensor, "batch key_heads time d_key"],
    value: Float[Tensor, "batch value_heads time d_value"],
    decay: Float[Tensor, "batch heads time"] | None = None,
    state: Float[Tensor, "batch heads d_key d_value"] | None = None,
    segment: Int[Tensor, "batch time"] | None = None,
    version: str = "auto",
) -> tuple[Float[Tensor, "batch heads time d_value"], Float[Tensor, "batch heads d_key d_value"]]:
    """S_t = exp(decay_t) S_{t-1} + k_t v_tᵀ, o_t = S_tᵀ q_t, for each head, and the last S. Nothing is scaled.

    There are as many heads as the largest of the inputs has; one with fewer is shared by equal groups of neighbours
    (head h reads its head h // (heads / its heads)), and is never copied for all of them. `decay`: logarithms, at most
    0; None: nothing fades. `state`: S before the first token (None: zeros); it is consumed, and returned in fp32 at
    least. `segment` counts the document borders in each row: tokens of segment 0 go on from the state, others see
    their own segment only. `version` forces one of VERSIONS; UserError if there is none, or if it cannot do it.
    """
    time, heads = query.shape[2], max(x.shape[1] for x in (query, key, value, decay) if x is not None)
    if state is None:
        state = fresh_state(value, len(value), heads, key.shape[3], value.shape[3])
    if version == "step" and time != 1:
        raise UserError(f"The step version of linear_attention is for 1 token, not {time}. Use version chunked.")
    call = version_for("linear_attention", VERSIONS, version, "step" if time == 1 else "chunked", value)
    with torch.autocast(value.device.type, enabled=False):
        out, state = call(query, key, value, decay, state, segment)
    return out.to(value.dtype), state
