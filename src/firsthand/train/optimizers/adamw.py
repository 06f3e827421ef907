"""AdamW: Adam with decoupled weight decay."""

import torch
from torch.optim import Optimizer

from firsthand.train.optimizers.groups import NamedParameters, decay_groups


def adamw(
    named_parameters: NamedParameters,
    lr: float = 1e-3,
    betas: tuple[float, float] | list[float] = (0.9, 0.95),
    eps: float = 1e-8,
    weight_decay: float = 0.1,
) -> Optimizer:
    """torch's fused AdamW (Loshchilov & Hutter 2019, algorithm 2); matrices decay, vectors do not."""
    groups = decay_groups(named_parameters, weight_decay)
    return torch.optim.AdamW(groups, lr=lr, betas=(betas[0], betas[1]), eps=eps, fused=True)
