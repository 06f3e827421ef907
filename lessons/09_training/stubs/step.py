"""One step of training: gradients of all microbatches, clipped, and the optimizer's step."""

from collections.abc import Callable, Iterable, Sequence

from torch import nn
from torch.optim import Optimizer

from firsthand.types import Batch, Loss


def clip_by_norm(parameters: Iterable[nn.Parameter], factor: float, limit: float | None) -> float:
    """Multiply all gradients by `factor`; if their norm is then above `limit`, also by limit / (norm + 1e-6).

    The norm is the length of all gradients together, as one long vector. Returns it as it is after `factor` and before
    clipping. `limit` None: no clipping. The gradients are changed in place; parameters without one are passed over.
    """
    raise NotImplementedError


def train_step(
    model: nn.Module,
    microbatches: Sequence[Batch],
    objective: Callable[[nn.Module, Batch], Loss],
    optimizer: Optimizer,
    max_norm: float | None = 1.0,
    scale: float = 1.0,
) -> tuple[float, float]:
    """Move the weights once. Returns (the mean loss, the gradients' norm before clipping).

    objective(model, batch) returns a Loss: `value`, the *sum* of the loss over the targets of that batch (a tensor),
    and `count`, how many targets there are. What is minimised is the mean over all targets of all microbatches
    (if there is no target at all, divide by 1). The model is in training mode, one microbatch's graph is gone before
    the next is made, and no gradient is left over for the next step. If loss or norm is not finite, the weights stay as
    they are.

    `scale`: in fp16 small gradients would be rounded to 0. So what goes backward is the loss times `scale`, and the
    gradients are divided by it before their norm is taken.
    """
    raise NotImplementedError
