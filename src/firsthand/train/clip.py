"""Clipping by the global gradient norm."""

from collections.abc import Iterable

import torch
from torch import nn


@torch.no_grad()
def clip_by_norm(parameters: Iterable[nn.Parameter], factor: float, limit: float | None) -> float:
    """Multiply all gradients by `factor`, then scale them down to a global L2 norm of at most `limit` (None: never).

    Returns the norm before clipping (Pascanu et al. 2013, section 3.2). Per-tensor norms are added in fp64 in the
    order of the parameters. If the norm is not finite, the gradients are left as they are.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return 0.0
    norms = torch.stack(torch._foreach_norm(gradients)).double()
    norm = float(torch.linalg.vector_norm(norms)) * factor
    if norm < float("inf"):
        clip = 1.0 if limit is None or norm <= limit else limit / (norm + 1e-6)
        torch._foreach_mul_(gradients, factor * clip)
    return norm
