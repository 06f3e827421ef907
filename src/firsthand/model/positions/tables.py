"""Looking up rows of a table of positions."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from firsthand.errors import UserError


def rows(table: Float[Tensor, "length d"], index: Int[Tensor, "rows time"]) -> Float[Tensor, "rows time d"]:
    """table[index]. UserError where the index overruns the table; on a GPU torch's own error, for asking would wait."""
    # a tensor subclass (as used for counting) may hold no numbers
    if not torch.compiler.is_compiling() and type(index) is Tensor and index.device.type == "cpu" and index.numel():
        furthest = int(index.max()) if index.numel() > 1 else int(index)
        if furthest >= len(table):
            raise UserError(
                f"A token stands at position {furthest}, but the model's context holds {len(table)} tokens. "
                f"Give shorter input, or train with a larger model.context_length."
            )
        if index.numel() == 1 and not table.requires_grad:  # a step of decoding, which looks in every layer
            return table[furthest].view(1, 1, -1)
    return F.embedding(index, table)
