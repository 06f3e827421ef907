"""The memory of rows that have seen nothing yet."""

import torch
from torch import Tensor


def fresh_state(like: Tensor, *shape: int) -> Tensor:
    """Zeros beside `like`, in its dtype but fp32 at least: many small numbers will add up in them."""
    return like.new_zeros(shape, dtype=torch.promote_types(like.dtype, torch.float32))
