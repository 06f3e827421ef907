"""One layer: move information between tokens, then think about each token alone."""

from jaxtyping import Float
from torch import Tensor, nn

from firsthand.model import no_extra_loss
from firsthand.model.residuals import Residual
from firsthand.types import Place, State


class Block(nn.Module):
    """x + mixer(norm(x)), then x + ffn(norm(x)): the pre-norm form of GPT-2 (section 2.3) and of most models since.

    Without an FFN (Mamba, arXiv 2312.00752, section 3.4) the first half is all: `ffn` and
    `ffn_norm` are None. `residual` may weigh what is added.
    """

    def __init__(
        self,
        mixer: nn.Module,
        ffn: nn.Module | None,
        mixer_norm: nn.Module,
        ffn_norm: nn.Module | None,
        residual: Residual | None = None,
    ) -> None:
        super().__init__()
        self.mixer_norm = mixer_norm
        self.mixer = mixer
        self.ffn_norm = ffn_norm
        self.ffn = ffn
        self.residual = residual or Residual()

    def initial_state(self, batch: int, length: int) -> State:
        """What the layer remembers of rows that have seen nothing, with room for `length` tokens."""
        return self.mixer.initial_state(batch, length)  # type: ignore[operator]

    def state_size(self, length: int) -> int:
        """How many numbers it remembers of one row of `length` tokens."""
        return int(self.mixer.state_size(length))  # type: ignore[operator]

    def mixing_flops(self, context_length: int) -> float:
        """Forward operations a token beside the weight matrices; a mixer that has none need not say so."""
        own = getattr(self.mixer, "mixing_flops", None)
        return float(own(context_length)) if callable(own) else 0.0

    def forward(
        self, x: Float[Tensor, "batch time d_model"], place: Place, state: State = None
    ) -> tuple[Float[Tensor, "batch time d_model"], State, Float[Tensor, ""]]:
        y, state = self.mixer(self.mixer_norm(x), place, state)
        x = self.residual.join(x, y)
        if self.ffn is None or self.ffn_norm is None:
            return x, state, no_extra_loss(x)
        y, extra_loss = self.ffn(self.ffn_norm(x))
        return self.residual.join(x, y), state, extra_loss
