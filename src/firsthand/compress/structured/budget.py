"""How a cut is shared out among layers: where the loss feels it least."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from firsthand.compress.structured.walk import batches
from firsthand.model.language_model import LanguageModel
from firsthand.ops.cross_entropy import linear_cross_entropy
from firsthand.types import Place

TOKENS = 8192
"""So many of the calibration text are asked: the mean over all layers' numbers needs no more."""

Curve = Sequence[tuple[int, float]]
"""Of one layer, round by round: how many units leave, and what that costs."""


def sensitivity(model: LanguageModel, windows: Int[Tensor, "windows time"]) -> Float[Tensor, " layers"]:
    """The mean square of the gradient of the loss by the stream behind each layer.

    An error e there adds about ½ E[(g · e)²] to the loss (the Fisher information in the place of the second derivative;
    WoodFisher, arXiv 2004.14340, section 3). This is its part that does not ask in which direction e goes.
    """
    found = torch.zeros(len(model.blocks), dtype=torch.float64)
    needed = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.requires_grad_(False)
    try:
        for some in batches(windows[: max(1, TOKENS // windows.shape[1])]):
            found += torch.stack(_gradients(model, some))
    finally:
        for parameter in needed:
            parameter.requires_grad_(True)
    return found


@torch.enable_grad()
def _gradients(model: LanguageModel, ids: Int[Tensor, "rows time"]) -> list[Float[Tensor, ""]]:
    """The sum of squares of the gradients of the summed loss by the stream behind each layer."""
    place = Place.of(ids[:, :-1])
    x = first = model.embed(ids[:, :-1], place).requires_grad_()
    streams = []
    for block, residual in zip(model.blocks, model.residuals, strict=True):
        x = block(residual.enter(x, first), place, None)[0]  # type: ignore[operator]
        streams.append(x)
    nats, _ = linear_cross_entropy(model.final(x), model.head_weight, ids[:, 1:], model.softcap)
    return [gradient.double().square().sum() for gradient in torch.autograd.grad(nats, streams)]


def share_out(curves: Sequence[Curve], cut: int) -> list[int]:
    """How many units each layer loses, so that `cut` or a few more leave: always where the next round costs least.

    Costs of later rounds count at least as much as those of earlier ones, which lose the units that are missed least.
    """
    rounds = []
    for layer, curve in enumerate(curves):
        least = 0.0
        for count, cost in curve:
            least = max(least, cost / count)
            rounds.append((least, layer, count))
    lost = [0] * len(curves)
    for _, layer, count in sorted(rounds):
        if sum(lost) >= cut:
            break
        lost[layer] += min(count, cut - sum(lost))
    return lost
