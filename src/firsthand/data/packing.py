"""Windows over a stream of token ids: what a model reads, what it must predict, and what is held out."""

import torch
from jaxtyping import Int
from torch import Tensor

from firsthand.errors import UserError
from firsthand.text.split import cut_at
from firsthand.types import IGNORE


def split(ids: Int[Tensor, " length"], fraction: float) -> tuple[Int[Tensor, " train"], Int[Tensor, " validation"]]:
    """(train, validation): the beginning of `ids`, and the last `fraction` of them, which is held out.

    UserError if a side would be empty.
    """
    cut = cut_at(len(ids), fraction)
    if not 0 < cut < len(ids):
        raise UserError(
            f"Holding out {fraction:g} of {len(ids)} token(s) leaves one side empty. Give more text, or a share "
            "between 0 and 1, such as 0.1."
        )
    return ids[:cut], ids[cut:]


def get_batch(
    ids: Int[Tensor, " length"], batch_size: int, context_length: int, generator: torch.Generator
) -> tuple[Int[Tensor, "batch context"], Int[Tensor, "batch context"]]:
    """Windows from `batch_size` places at random, each place as likely as any: inputs x, and targets y, the tokens
    after them.

    For ids that fit in memory, and runs that need no epochs; `loader.Loader` visits everything once before it comes
    again. UserError if there is no whole window.
    """
    places = len(ids) - context_length
    if places < 1:
        raise UserError(
            f"A window of {context_length} tokens and the target of its last needs {context_length + 1} tokens, and "
            f"there are {len(ids)}. Give more text, or a smaller context_length."
        )
    start = torch.randint(places, (batch_size, 1), generator=generator)
    place = (start + torch.arange(context_length)).to(ids.device)
    return ids[place].long(), ids[place + 1].long()


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
