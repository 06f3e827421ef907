"""Wanda: a weight counts for as much as the input that it is multiplied with (Sun et al., arXiv 2306.11695)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from firsthand.compress.calibration import Sizes, layer_by_layer
from firsthand.compress.prune.choice import Choice
from firsthand.compress.prune.masks import matrices, tell
from firsthand.compress.subject import Given, Subject


def wanda_score(weight: Float[Tensor, "d_out d_in"], squares: Float[Tensor, " d_in"]) -> Float[Tensor, "d_out d_in"]:
    """|W_ij| · ‖X_j‖₂ (equation 1). `squares`: of each input channel, the sum of squares over the calibration text."""
    return weight.detach().double().abs() * squares.sqrt()


class Wanda:
    """The weights of the smallest `wanda_score` become zero; the others stay as they are.

    `sparsity`: the share that goes (absent: a half). Compared are the weights of a row, which all add to the same
    output (section 3): that is what `scope` "row", the default, means; "layer" compares all of a map. `pattern`: "2:4"
    in place of both. Zeros save bytes in a file, not time: products still multiply with them.
    """

    def __init__(self, sparsity: float | None = None, pattern: str | None = None, scope: str | None = None) -> None:
        self.choice = Choice.of(sparsity, scope, pattern, ("row", "layer"))

    def __call__(self, subject: Subject, given: Given) -> None:
        left: set[str] = set(matrices(subject.model))

        @torch.no_grad()
        def change(name: str, part: nn.Linear, inputs: Any) -> None:
            if inputs.rows:
                part.weight.mul_(self.choice.mask(wanda_score(part.weight, inputs.squares)))
                left.discard(f"{name}.weight")

        layer_by_layer(subject.model, given.windows, Sizes, change, given.done)
        tell(subject, left)
