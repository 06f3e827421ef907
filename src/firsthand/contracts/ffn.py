"""What every feed-forward part promises: the table of checks."""

from collections.abc import Mapping
from typing import Any

import torch

from firsthand.contracts import module, token
from firsthand.contracts.finding import Broken
from firsthand.contracts.interface import has_methods, pair, scalar, sound
from firsthand.contracts.part import Check, Part


def interface(part: Part) -> None:
    """It can be built, and has the methods of an FFN."""
    has_methods(part.make(), {"forward": "x"})


def shapes(part: Part) -> None:
    """Outputs have the shape and dtype of the inputs at every length; beside them comes a scalar, finite like them."""
    for ffn in (part.make(), part.make().train()):
        for time in (17, 1, 2, 65):
            x = part.text(3, time).x
            y, extra_loss = pair(ffn(x), "y, extra_loss")
            sound("the output", y, x)
            scalar(extra_loss)
            if not extra_loss.isfinite():
                raise Broken(
                    f"The extra loss is {float(extra_loss)}.",
                    "It is added to the loss, whose gradients would all be lost.",
                    "Look for a division by a count that may be zero, or the logarithm of zero.",
                )


@torch.no_grad()
def bend(part: Part) -> None:
    """It is no linear map."""
    ffn: Any = part.make()
    x, z = part.text(2, 7).x, part.text(2, 7, seed=2).x
    nothing = ffn(torch.zeros_like(x))[0]
    left = ffn(x + z)[0] + nothing - ffn(x)[0] - ffn(z)[0]
    if not left.abs().amax() > 1e-3 * ffn(x)[0].abs().amax():
        raise Broken(
            "The output for a sum of two inputs is the sum of the two outputs: it is a linear map.",
            "Linear maps one after another are one linear map; without a bend the FFN adds nothing to the mixer's own.",
            "Put an activation between its matrices.",
        )


CHECKS: Mapping[str, Check] = {
    "interface": interface,
    "shapes": shapes,
    "tokens": token.tokens,
    "bend": bend,
    **module.CHECKS,
}
