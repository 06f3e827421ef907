"""Pruning: which weights stay, and how the others stay zero while the rest learns."""

from collections.abc import Mapping

from torch import Tensor, nn


def magnitude_mask(weight: Tensor, sparsity: float) -> Tensor:
    """bool, of the weight's shape: False for the `sparsity` · numel numbers of smallest size, True for those that stay.

    How many go is rounded to the nearest whole number, and exactly so many do, even where sizes are equal (which of
    them is then left to you). The weight is not changed.
    """
    raise NotImplementedError


def mask_2_of_4(weight: Tensor) -> Tensor:
    """bool (d_out, d_in): of every four neighbours in a row, True for the two of largest size.

    UserError if rows are not whole fours.
    """
    raise NotImplementedError


def apply_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Set to zero the weights whose mask is False, and see to it that training leaves them there.

    `masks`: by the names of the model's parameters ("blocks.0.ffn.up.weight"), which keep their names. The optimizer
    is made afterwards.
    """
    raise NotImplementedError
