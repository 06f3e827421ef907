"""Masks on a model's weights: what is pruned is zero, and stays zero while the rest learns."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


@torch.no_grad()
def apply_masks(model: nn.Module, masks: Mapping[str, Bool[Tensor, "..."]]) -> list[RemovableHandle]:
    """Set to zero, by the names of parameters, the weights whose mask is False, and let no gradient reach them.

    Without a gradient, an optimizer that begins now leaves a zero where it is (decay included). Returns what undoes
    the second part.
    """
    handles = []
    for name, mask in masks.items():
        weight = model.get_parameter(name)
        weight.mul_(mask)
        handles.append(weight.register_hook(lambda gradient, mask=mask: gradient * mask))
    return handles
