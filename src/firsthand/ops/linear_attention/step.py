"""Linear attention for one token: what decoding needs. Nothing in it depends on how many tokens came before."""

import torch
from torch import Tensor


def linear_attention(
    query: Tensor, key: Tensor, value: Tensor, decay: Tensor | None, state: Tensor, segment: Tensor | None
) -> tuple[Tensor, Tensor]:
    """See `firsthand.ops.linear_attention`. Where no gradient is recorded, the state is changed in place."""
    assert query.shape[2] == 1, "the step is for one token"
    exact, heads = state.dtype, state.shape[1]
    query, key, value = (x.to(exact).repeat_interleave(heads // x.shape[1], 1) for x in (query, key, value))
    keep = None if decay is None else decay.to(exact).exp().unsqueeze(-1)
    if segment is not None:
        known = (segment == 0).to(exact)[:, None, :, None]
        keep = known if keep is None else keep * known
    if torch.is_grad_enabled():
        state = torch.addcmul(state if keep is None else state * keep, key.mT, value)
    else:
        state = (state if keep is None else state.mul_(keep)).addcmul_(key.mT, value)
    return query @ state, state
