"""The gated feed-forward part: SwiGLU, GeGLU and their kin."""

from jaxtyping import Float
from torch import Tensor, nn

from firsthand.model import no_extra_loss
from firsthand.model.ffns.activations import activation as activation_called
from firsthand.model.side_by_side import side_by_side


class Gated(nn.Module):
    """down(activation(gate(x)) · up(x)) (Shazeer 2020, arXiv 2002.05202: silu is SwiGLU, gelu is GeGLU).

    It has three matrices: with d_ff two thirds of an MLP's it has as many parameters.
    """

    readers = ("gate", "up")

    def __init__(
        self, d_model: int, d_ff: int, activation: str = "silu", bias: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.activation = activation_called(activation)
        self.up = nn.Linear(d_model, d_ff, bias=bias)
        self.gate = nn.Linear(d_model, d_ff, bias=bias)
        self.down = nn.Linear(d_ff, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch time d_model"]
    ) -> tuple[Float[Tensor, "batch time d_model"], Float[Tensor, ""]]:
        gate, up = side_by_side(self, x)
        return self.dropout(self.down(self.activation(gate) * up)), no_extra_loss(x)
