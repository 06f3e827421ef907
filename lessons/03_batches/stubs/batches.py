"""Batches: windows cut from a long row of token ids. The target of a token is the token after it.

IGNORE (-100, in firsthand.types) is the target where there is nothing to learn: the loss leaves it out.
"""

import torch
from torch import Tensor


def split(ids: Tensor, fraction: float) -> tuple[Tensor, Tensor]:
    """(train, validation): the beginning of ids (length,), and the last `fraction` of it, which is held out."""
    raise NotImplementedError


def windows(
    ids: Tensor, context_length: int, stride: int | None = None, document: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """All windows of a text, in order: inputs x and targets y, both int64 (windows, context_length).

    y[w, t] is the token after x[w, t]. Window w begins at token w · stride (None: context_length), for as long as
    there is a target that no window has had. Where the text ends within the last window, fill x up with 0 and y with
    IGNORE; the text's last token, which has no target, may stand in x or be 0. document (length,): the number of each
    token's document; a target of another document than its input is IGNORE.
    """
    raise NotImplementedError


def get_batch(ids: Tensor, batch_size: int, context_length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """batch_size whole windows from places that are drawn with `generator`, each as likely as any.

    x and y as in `windows`, int64 (batch_size, context_length).
    """
    raise NotImplementedError
