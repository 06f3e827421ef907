"""One layer: move information between tokens, then think about each token alone."""

from jaxtyping import Float
from torch import Tensor, nn

from firsthand.types import Place, State


class Block(nn.Module):
    """x + mixer(norm(x)), then x + ffn(norm(x)): the pre-norm form of GPT-2 (section 2.3) and of most models since."""

    def __init__(self, mixer: nn.Module, ffn: nn.Module, mixer_norm: nn.Module, ffn_norm: nn.Module) -> None:
        super().__init__()
        self.mixer_norm = mixer_norm
        self.mixer = mixer
        self.ffn_norm = ffn_norm
        self.ffn = ffn

    def forward(
        self, x: Float[Tensor, "batch time d_model"], place: Place, state: State = None
    ) -> tuple[Float[Tensor, "batch time d_model"], State, Float[Tensor, ""]]:
        y, state = self.mixer(self.mixer_norm(x), place, state)
        x = x + y
        y, extra_loss = self.ffn(self.ffn_norm(x))
        return x + y, state, extra_loss
