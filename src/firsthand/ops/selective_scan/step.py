"""The selective scan of a single token: what decoding does, in a few calls."""

import torch
from torch import Tensor

from firsthand.ops.selective_scan.tiles import LOG2_E


def selective_scan(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor, segment: Tensor | None
) -> tuple[Tensor, Tensor]:
    """See `firsthand.ops.selective_scan`."""
    if segment is not None:
        state = torch.where(segment.unsqueeze(-1) == 0, state, 0)
    fade = torch.exp2((dt * LOG2_E).mT * A)
    state = torch.addcmul((dt * x).mT * B, fade, state)
    return (state @ C.mT).mT, state
