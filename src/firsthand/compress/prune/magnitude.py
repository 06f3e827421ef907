"""Magnitude pruning: the weights nearest to zero become zero (Han et al., arXiv 1506.02626)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from firsthand.compress.prune.choice import Choice
from firsthand.compress.prune.masks import matrices, tell, zero
from firsthand.compress.subject import Given, Subject


def magnitude_mask(weight: Float[Tensor, "d_out d_in"], sparsity: float) -> Bool[Tensor, "d_out d_in"]:
    """True for the weights that stay: all but the `sparsity` · numel of smallest size, rounded to the nearest number.

    Where sizes are equal the earlier weights go, so that exactly so many do.
    """
    count = round(sparsity * weight.numel())
    order = weight.detach().abs().flatten().argsort(stable=True)
    mask = torch.ones(weight.numel(), dtype=torch.bool, device=weight.device)
    mask[order[:count]] = False
    return mask.view_as(weight)


class Magnitude:
    """The smallest weights of the layers' matrices become zero. It asks for no text.

    `sparsity`: the share that goes (absent: a half); `scope`: whether a weight is compared with those of its own
    matrix ("layer", the default), of its own "row", or of all matrices ("global", which may empty whole layers).
    `pattern`: "2:4" in place of both. Zeros save bytes in a file, not time: products still multiply with them.
    """

    def __init__(self, sparsity: float | None = None, scope: str | None = None, pattern: str | None = None) -> None:
        self.choice = Choice.of(sparsity, scope, pattern)

    def __call__(self, subject: Subject, given: Given) -> None:
        sizes = {name: weight.detach().abs().flatten(0, -2) for name, weight in matrices(subject.model).items()}
        given.done(0.1, "comparing sizes")
        zero(subject.model, self.choice.masks(sizes))
        tell(subject)
