"""The functions between two matrices."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from firsthand.errors import UserError, suggest
from firsthand.ops.squared_relu import squared_relu


def gelu(x: Tensor, tanh: bool = False) -> Tensor:
    """x · Φ(x) (arXiv 1606.08415); `tanh`: the approximation of its section 2, which GPT-2 uses."""
    return F.gelu(x, approximate="tanh" if tanh else "none")


def gelu_tanh(x: Tensor) -> Tensor:
    return gelu(x, tanh=True)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "relu": F.relu,
    "relu2": squared_relu,
    "silu": F.silu,
}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The activation called `name`, or UserError with the valid names."""
    if name not in ACTIVATIONS:
        raise UserError(f"There is no activation called {name!r}. {suggest(name, ACTIVATIONS)}")
    return ACTIVATIONS[name]
