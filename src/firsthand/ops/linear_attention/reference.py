"""Linear attention as it is defined: a matrix that is written to and read from, one token after the other."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def linear_attention(
    query: Float[Tensor, "batch heads time d_key"],
    key: Float[Tensor, "batch heads time d_key"],
    value: Float[Tensor, "batch heads time d_value"],
    decay: Float[Tensor, "batch heads time"],
    state: Float[Tensor, "batch heads d_key d_value"],
    segment: Int[Tensor, "batch time"],
) -> tuple[Float[Tensor, "batch heads time d_value"], Float[Tensor, "batch heads d_key d_value"]]:
    """S_t = exp(decay_t) S_{t-1} + k_t v_tᵀ and o_t = S_tᵀ q_t; S before the first token is `state`.

    Katharopoulos et al. 2020 (arXiv 2006.16236), eq. 16 to 20 without the normaliser; with a decay for each head and
    token this is Mamba-2 (arXiv 2405.21060, eq. 1 with A a multiple of the identity). At a new segment, S is forgotten.
    """
    outputs = []
    before = torch.zeros_like(segment[:, 0])
    for t in range(query.shape[2]):
        known = (segment[:, t] == before)[:, None, None, None]
        before = segment[:, t]
        written = key[:, :, t, :, None] * value[:, :, t, None, :]
        state = torch.where(known, decay[:, :, t, None, None].exp() * state, 0) + written
        outputs.append(torch.einsum("bhkv,bhk->bhv", state, query[:, :, t]))
    return torch.stack(outputs, dim=2), state
