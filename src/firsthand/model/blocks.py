"""Other places for the norms of a layer, and the table of all arrangements.

Each has the parts of `Block` and is called like it, forward(x, place, state) -> (x, state, extra_loss); what differs is
the order. The assembly offers mixer, ffn, a norm under each of the names below, and residual; where the recipe says
`ffn: none`, the FFN and its norms are None.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from firsthand.model import no_extra_loss
from firsthand.model.block import Block
from firsthand.model.canon import Canon
from firsthand.model.ngrams import Ngrams
from firsthand.model.residuals import Residual
from firsthand.types import Place, State


class PostNorm(Block):
    """norm(x + mixer(x)), then norm(x + ffn(x)): the first Transformer ("Attention is all you need", section 3.1).

    Nothing runs past the norms, so gradients shrink on their way down and deep models need a warm-up (Xiong et al.
    2020, arXiv 2002.04745).
    """

    def forward(
        self, x: Float[Tensor, "batch time d_model"], place: Place, state: State = None
    ) -> tuple[Float[Tensor, "batch time d_model"], State, Float[Tensor, ""]]:
        y, state = self.mixer(x, place, state)
        x = self.mixer_norm(self.residual.join(x, y))
        if self.ffn is None or self.ffn_norm is None:
            return x, state, no_extra_loss(x)
        y, extra_loss = self.ffn(x)
        return self.ffn_norm(self.residual.join(x, y)), state, extra_loss


class Sandwich(Block):
    """x + after(mixer(norm(x))), then x + after(ffn(norm(x))): a norm on both sides of each part, beside the stream.

    What joins the stream cannot grow beyond the norm's gain (Ding et al. 2021, CogView, arXiv 2105.13290, section
    2.4; Gemma 2, arXiv 2408.00118, section 2).
    """

    def __init__(
        self,
        mixer: nn.Module,
        ffn: nn.Module | None,
        mixer_norm: nn.Module,
        ffn_norm: nn.Module | None,
        mixer_after_norm: nn.Module,
        ffn_after_norm: nn.Module | None,
        residual: Residual | None = None,
    ) -> None:
        super().__init__(mixer, ffn, mixer_norm, ffn_norm, residual)
        self.mixer_after_norm = mixer_after_norm
        self.ffn_after_norm = ffn_after_norm

    def forward(
        self, x: Float[Tensor, "batch time d_model"], place: Place, state: State = None
    ) -> tuple[Float[Tensor, "batch time d_model"], State, Float[Tensor, ""]]:
        y, state = self.mixer(self.mixer_norm(x), place, state)
        x = self.residual.join(x, self.mixer_after_norm(y))
        if self.ffn is None or self.ffn_norm is None or self.ffn_after_norm is None:
            return x, state, no_extra_loss(x)
        y, extra_loss = self.ffn(self.ffn_norm(x))
        return self.residual.join(x, self.ffn_after_norm(y)), state, extra_loss


class Parallel(Block):
    """x + mixer(n) + ffn(n) with n = norm(x): both parts read the same, and neither waits for the other.

    One norm less and half the steps from bottom to top (GPT-J, 2021; Chowdhery et al. 2022, PaLM, arXiv 2204.02311,
    section 2).
    """

    def __init__(
        self, mixer: nn.Module, ffn: nn.Module | None, mixer_norm: nn.Module, residual: Residual | None = None
    ) -> None:
        super().__init__(mixer, ffn, mixer_norm, None, residual)

    def forward(
        self, x: Float[Tensor, "batch time d_model"], place: Place, state: State = None
    ) -> tuple[Float[Tensor, "batch time d_model"], State, Float[Tensor, ""]]:
        normed = self.mixer_norm(x)
        y, state = self.mixer(normed, place, state)
        if self.ffn is None:
            return self.residual.join(x, y), state, no_extra_loss(x)
        z, extra_loss = self.ffn(normed)
        return self.residual.join(x, y + z), state, extra_loss


BLOCKS: dict[str, Callable[..., nn.Module]] = {
    "pre": Block,
    "post": PostNorm,
    "sandwich": Sandwich,
    "parallel": Parallel,
    "canon": Canon,
    "ngrams": Ngrams,
}
