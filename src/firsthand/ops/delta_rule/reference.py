"""The gated delta rule as it is defined: one token after the other."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def delta_rule(
    query: Float[Tensor, "batch heads time d_key"],
    key: Float[Tensor, "batch heads time d_key"],
    value: Float[Tensor, "batch heads time d_value"],
    beta: Float[Tensor, "batch heads time"],
    decay: Float[Tensor, "batch heads time"],
    state: Float[Tensor, "batch heads d_key d_value"],
    segment: Int[Tensor, "batch time"],
) -> tuple[Float[Tensor, "batch heads time d_value"], Float[Tensor, "batch heads d_key d_value"]]:
    """S_t = exp(decay_t) (I - beta_t k_t k_tᵀ) S_{t-1} + beta_t k_t v_tᵀ and o_t = S_tᵀ q_t (arXiv 2412.06464, eq. 10).

    The state forgets a little, says what it holds under the key, and is put right by the share `beta` of the error.
    It is empty again where `segment` (0 before the first token) changes.
    """
    before, outputs = torch.zeros_like(segment[:, 0]), []
    for t in range(query.shape[2]):
        state = torch.where((segment[:, t] == before).view(-1, 1, 1, 1), state, 0)
        before = segment[:, t]
        state = decay[:, :, t, None, None].exp() * state
        error = value[:, :, t] - torch.einsum("bhkv,bhk->bhv", state, key[:, :, t])
        state = state + torch.einsum("bhk,bhv->bhkv", key[:, :, t], beta[:, :, t, None] * error)
        outputs.append(torch.einsum("bhkv,bhk->bhv", state, query[:, :, t]))
    return torch.stack(outputs, dim=2), state
