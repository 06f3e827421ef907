"""SmoothQuant: what is hard to round in inputs is moved into weights, where it is easy; then both are int8."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from firsthand.compress.calibration import Sizes, layers
from firsthand.compress.quantize import maps_to_round
from firsthand.compress.quantize.folding import scale_channels, source_of
from firsthand.compress.quantize.int8_dynamic import Int8Dynamic
from firsthand.compress.subject import Given, Subject
from firsthand.errors import UserError

LEAST = 1e-5
"""Of the largest sizes of inputs and weights, so that a silent channel has a scale too."""


class SmoothQuant:
    """W X = (W · s)(X / s) with s_j = max|X_j|^alpha / max|W_j|^(1 - alpha) (Xiao et al., arXiv 2211.10438, eq. 3-4).

    A few channels of the inputs are far larger than the others, and one scale a token has to reach them. `alpha` is how
    much of that is moved: 0.5 shares it, 1 moves all of it. 1 / s goes into the part before, which folding.py finds;
    maps without such a part stay as they are. Then comes `int8_dynamic`, with its arguments.
    """

    def __init__(
        self,
        alpha: float = 0.5,
        scales: str = "fp16",
        embedding: dict[str, Any] | None = None,
        targets: str | list[str] = "layers",
    ) -> None:
        if not 0 <= alpha <= 1:
            raise UserError(f"smoothquant: alpha={alpha} must lie between 0 and 1; 0.5 suits most models.")
        self.alpha, self.targets = alpha, targets
        self.then = Int8Dynamic(scales, embedding, targets)

    def __call__(self, subject: Subject, given: Given) -> None:
        chosen = maps_to_round(subject, self.targets)
        smoothed = 0
        for layer in layers(subject.model, given.windows, given.done):
            found = layer.gather(Sizes)
            for names in layer.readers():
                source = source_of(layer, names) if chosen.keys() & set(names) else None
                if source is not None:
                    weights = [layer.maps[name].weight for name in names]
                    scale_channels(layer, source, names, self.scales_of(weights, found[names[0]]))
                    smoothed += len(names)
        subject.notes.append(f"smoothquant: {smoothed} of {len(chosen)} maps read smoothed inputs.")
        self.then(subject, given)

    @torch.no_grad()
    def scales_of(self, weights: list[Tensor], sizes: Sizes) -> Float[Tensor, " d_in"]:
        """The s of maps that read the same."""
        largest = torch.stack([weight.abs().amax(0) for weight in weights]).amax(0).clamp_min(LEAST)
        return sizes.largest.clamp_min(LEAST) ** self.alpha / largest ** (1 - self.alpha)
