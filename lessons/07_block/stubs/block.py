"""One layer: move information between tokens, then think about each token alone."""

from typing import Any

from torch import Tensor, nn

from firsthand.types import Place


class Block(nn.Module):
    """x + mixer(mixer_norm(x)), and of that again x + ffn(ffn_norm(x)).

    The four parts are given, and are kept under their names: mixer, ffn, mixer_norm, ffn_norm.
    """

    def __init__(self, mixer: nn.Module, ffn: nn.Module, mixer_norm: nn.Module, ffn_norm: nn.Module) -> None:
        super().__init__()
        raise NotImplementedError

    def initial_state(self, batch: int, length: int) -> Any:
        """Given: what the layer remembers while text is written is what its mixer remembers."""
        return self.mixer.initial_state(batch, length)

    def state_size(self, length: int) -> int:
        """Given: how many numbers that is for a row."""
        return int(self.mixer.state_size(length))

    def forward(self, x: Tensor, place: Place, state: Any = None) -> tuple[Tensor, Any, Tensor]:
        """x (batch, time, d_model) to (x, state, extra_loss), x of the same shape.

        mixer(x, place, state) returns (y, state), ffn(x) returns (y, extra_loss). What came in is not changed.
        """
        raise NotImplementedError
