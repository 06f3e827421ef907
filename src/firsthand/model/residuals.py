"""The residual stream: what a layer finds there, and how its parts add to it."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Residual(nn.Module):
    """The plain stream of one layer: it is handed on as it is, and each part adds to it.

    A scheme overrides one of two methods; the other stays plain. The model calls `enter` before each layer, and the
    layer calls `join` after its mixer and after its FFN.
    """

    def __init__(self) -> None:  # nn.Module's own would swallow wrong settings
        super().__init__()

    def enter(
        self, x: Float[Tensor, "batch time d_model"], first: Float[Tensor, "batch time d_model"]
    ) -> Float[Tensor, "batch time d_model"]:
        """What the layer gets: `x` is the stream so far, `first` what it was before the first layer."""
        return x

    def join(
        self, x: Float[Tensor, "batch time d_model"], y: Float[Tensor, "batch time d_model"]
    ) -> Float[Tensor, "batch time d_model"]:
        """The stream after a part has said `y`."""
        return x + y


class Scaled(Residual):
    """x + scale · y, the same scale for both parts of a layer.

    Learned it is ReZero's, which begins at `initial` = 0 (Bachlechner et al. 2020, arXiv 2003.04887, section 3), and
    then needs weights that are not zero (initialize: gpt2). With `learned: false` it is a constant, as in MiniCPM and
    Granite. `by_depth` divides it by sqrt(n_layers), so that deep models change their stream no faster than shallow
    ones (Depth-muP, Yang et al. 2023, arXiv 2310.02244).
    """

    def __init__(self, initial: float = 1.0, learned: bool = True, by_depth: bool = False, n_layers: int = 1) -> None:
        super().__init__()
        self.constant = n_layers**-0.5 if by_depth else 1.0
        self.scale = nn.Parameter(torch.full((1,), float(initial))) if learned else None
        if not learned:
            self.constant *= initial

    def join(
        self, x: Float[Tensor, "batch time d_model"], y: Float[Tensor, "batch time d_model"]
    ) -> Float[Tensor, "batch time d_model"]:
        return x + (self.constant if self.scale is None else self.constant * self.scale) * y


class Shortcut(Residual):
    """The layer gets kept · x + added · first: it can weaken what came before, and look at the embedding anew.

    Two learned numbers a layer, which begin as the plain stream (K. Jordan et al. 2024, modded-nanogpt; nanochat).
    """

    def __init__(self, kept: float = 1.0, added: float = 0.0) -> None:
        super().__init__()
        self.kept = nn.Parameter(torch.full((1,), float(kept)))
        self.added = nn.Parameter(torch.full((1,), float(added)))

    def enter(
        self, x: Float[Tensor, "batch time d_model"], first: Float[Tensor, "batch time d_model"]
    ) -> Float[Tensor, "batch time d_model"]:
        return self.kept * x + self.added * first


RESIDUALS: dict[str, Callable[..., Residual]] = {"plain": Residual, "scaled": Scaled, "shortcut": Shortcut}
