"""The selective scan as it is defined."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def selective_scan(
    x: Float[Tensor, "batch time channels"],
    dt: Float[Tensor, "batch time channels"],
    A: Float[Tensor, "channels d_state"],
    B: Float[Tensor, "batch time d_state"],
    C: Float[Tensor, "batch time d_state"],
    state: Float[Tensor, "batch channels d_state"],
    segment: Int[Tensor, "batch time"],
) -> tuple[Float[Tensor, "batch time channels"], Float[Tensor, "batch channels d_state"]]:
    """h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t and y_t = C_t h_t (Mamba, arXiv 2312.00752, eq. 2 and algorithm 2).

    h is (channels, d_state): each channel has d_state numbers of its own, which fade at rates of their own (A < 0).
    A token whose segment differs from that of the token before (0 before the first) starts from h = 0.
    """
    h, outputs, before = state, [], torch.zeros_like(segment[:, 0])
    for t in range(x.shape[1]):
        h = torch.where((segment[:, t] == before)[:, None, None], h, 0)
        fade = torch.exp(dt[:, t, :, None] * A)
        h = fade * h + (dt[:, t] * x[:, t]).unsqueeze(-1) * B[:, t].unsqueeze(1)
        outputs.append(torch.einsum("bcn,bn->bc", h, C[:, t]))
        before = segment[:, t]
    return torch.stack(outputs, dim=1), h
