"""Looking up rows of a table of positions."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from firsthand.errors import UserError


def rows(table: Float[Tensor, "length d"], index: Int[Tensor, "rows time"]) -> Float[Tensor, "rows time d"]:
    """table[index]. UserError where the index overruns the table, if asking costs nothing (on a GPU in training it does)."""
    if not torch.compiler.is_compiling() and (index.device.type == "cpu" or not torch.is_grad_enabled()):
        check(index, len(table))
    return F.embedding(index, table)


def check(index: Int[Tensor, "rows time"], length: int) -> None:
    """UserError unless every position lies within `length`."""
    if index.device.type != "meta" and index.numel() and int(index.max()) >= length:
        raise UserError(
            f"A token stands at position {int(index.max())}, but the model's context holds {length} tokens. "
            f"Give shorter input, or train with a larger model.context_length."
        )
