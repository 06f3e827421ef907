"""A step a line. The slips of `prune` are edits of this file, as the shipped functions stand in three."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from firsthand.errors import UserError


def magnitude_mask(weight: Tensor, sparsity: float) -> Tensor:
    size = weight.detach().abs()
    order = size.flatten().argsort()
    count = round(sparsity * weight.numel())
    mask = torch.ones(weight.numel(), dtype=torch.bool)
    mask[order[:count]] = False
    return mask.view(weight.shape)


def mask_2_of_4(weight: Tensor) -> Tensor:
    if weight.shape[1] % 4:
        raise UserError(f"Rows of {weight.shape[1]} weights are not whole fours.")
    groups = weight.detach().abs().reshape(weight.shape[0], -1, 4)
    best = groups.topk(2, dim=-1).indices
    mask = torch.zeros(groups.shape, dtype=torch.bool)
    mask.scatter_(-1, best, True)
    return mask.reshape(weight.shape)


def apply_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    for name, mask in masks.items():
        weight = model.get_parameter(name)
        weight.data[~mask] = 0.0
        weight.register_hook(lambda gradient, mask=mask: gradient * mask)
