"""Where documents begin, for mixers that carry a state from token to token."""

import torch
from jaxtyping import Int
from torch import Tensor

from firsthand.types import Place


def segments(
    place: Place, last: Int[Tensor, " batch"] | None = None
) -> tuple[Int[Tensor, "batch time"] | None, Int[Tensor, " batch"] | None]:
    """For each token the number of document borders up to it, and the document of each row's last token.

    `last`: the document that the state has seen last; None: a state that has seen nothing, or no documents. A token
    of segment 0 goes on from the state; a token of any other segment must not know what came before its segment.
    Padding (-1) is a document of its own, so it needs no other care. (None, last) if no row has a border to mark.
    """
    document = place.document
    if document is None:
        if last is None:
            return None, None
        document = torch.zeros((len(last), place.index.shape[1]), dtype=last.dtype, device=last.device)
    before = document[:, :1] if last is None else last.unsqueeze(1)
    borders = torch.diff(document, prepend=before) != 0
    return borders.cumsum(1), document[:, -1]
