"""By the rank of each number, which two sorts give."""

import torch
from torch import Tensor

from firsthand.errors import UserError


def rank(numbers: Tensor) -> Tensor:
    return numbers.argsort(-1).argsort(-1)


def magnitude_mask(weight: Tensor, sparsity: float) -> Tensor:
    return (rank(weight.detach().square().flatten()) >= round(sparsity * weight.numel())).view_as(weight)


def mask_2_of_4(weight: Tensor) -> Tensor:
    if weight.size(1) % 4:
        raise UserError("Of four weights two stay, and here a row ends in the middle of four.")
    return (rank(weight.detach().abs().unflatten(1, (-1, 4))) >= 2).flatten(1)


@torch.no_grad()
def apply_masks(model, masks) -> None:
    for name, mask in masks.items():
        parent, _, own = name.rpartition(".")
        parameter = getattr(model.get_submodule(parent), own)
        parameter *= mask
        parameter.register_hook(lambda gradient, gone=~mask: gradient.masked_fill(gone, 0.0))
