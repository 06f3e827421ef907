"""Windows over a stream of token ids: what a model reads, what it must predict, and which document is which."""

import torch
from jaxtyping import Int
from torch import Tensor

from firsthand.errors import UserError
from firsthand.types import IGNORE


def windows(
    ids: Int[Tensor, " length"],
    context_length: int,
    stride: int | None = None,
    document: Int[Tensor, " length"] | None = None,
) -> tuple[Int[Tensor, "windows context"], Int[Tensor, "windows context"]]:
    """Cut `ids` into inputs x and targets y, both (windows, context_length): y[w, t] is the token after x[w, t].

    A window starts every `stride` tokens (absent: context_length, so that every token but the first is a target
    exactly once) for as long as there is a target left that no window has. Where the text ends inside the last
    window, x is filled up with 0 and y with IGNORE. With `document` (the id of each token's document), a target in
    another document than its input is IGNORE too.
    """
    targets = len(ids) - 1
    if targets < 1:
        raise UserError(f"{len(ids)} token(s) hold no target: a window needs at least 2. Give more text.")
    step = stride or context_length
    count = 1 + max(0, -(-(targets - context_length) // step)) if step <= context_length else -(-targets // step)
    start = torch.arange(count, device=ids.device).unsqueeze(1) * step
    place = start + torch.arange(context_length, device=ids.device)
    there = place < targets
    place = place.clamp(max=targets - 1)
    x = ids[place].long()
    y = ids[place + 1].long()
    if document is not None:
        y = torch.where(document[place] == document[place + 1], y, IGNORE)
    return torch.where(there, x, 0), torch.where(there, y, IGNORE)
