"""The plain feed-forward part: up, an activation, down."""

from jaxtyping import Float
from torch import Tensor, nn

from firsthand.model import no_extra_loss
from firsthand.model.ffns.activations import activation as activation_called


class MLP(nn.Module):
    """down(activation(up(x))) ("Attention is all you need", 3.3). `dropout` acts on the output."""

    def __init__(
        self, d_model: int, d_ff: int, activation: str = "gelu", bias: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.activation = activation_called(activation)
        self.up = nn.Linear(d_model, d_ff, bias=bias)
        self.down = nn.Linear(d_ff, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch time d_model"]
    ) -> tuple[Float[Tensor, "batch time d_model"], Float[Tensor, ""]]:
        return self.dropout(self.down(self.activation(self.up(x)))), no_extra_loss(x)
