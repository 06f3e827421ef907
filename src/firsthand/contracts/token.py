"""What parts promise that work on each token alone."""

import torch

from firsthand.contracts.difference import many
from firsthand.contracts.finding import Broken
from firsthand.contracts.part import Part
from firsthand.contracts.text import Text


@torch.no_grad()
def tokens(part: Part) -> None:
    """Each token is alone: what stands beside it, in its row or in others, changes nothing."""
    module, text, here = part.make(), part.text(2, 7), (1, 3)
    x = text.x.clone()
    x[here] = -2 * x[here].flip(0)
    moved = (part.ask(module, Text(x, text.place)) - part.ask(module, text)).abs().amax(-1) > 1e-9
    if not moved[here]:
        raise Broken(
            "The output of a token did not change with the token.",
            "What does not depend on its input carries no information.",
            "Use x.",
        )
    moved[here] = False
    if moved.any():
        row, token = moved.nonzero()[0].tolist()
        where = f"{many(abs(token - here[1]), 'token')} {'ahead' if token < here[1] else 'back'}"
        where = where if row == here[0] else "in another row"
        raise Broken(
            f"Output {token} of row {row} changed when only token {here[1]} of row {here[0]} was changed: it sees what "
            f"stands {where}.",
            "Moving information between tokens is the mixer's task; here it would leak from the future, from other "
            "documents and other rows.",
            "Sum and take means over the last axis only.",
        )
