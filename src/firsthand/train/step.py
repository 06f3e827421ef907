"""One step of training: the gradients of all microbatches, clipped, and the optimizer's step."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import nn
from torch.optim import Optimizer

from firsthand.train.clip import clip_by_norm
from firsthand.types import Batch, Loss


def train_step(
    model: nn.Module,
    microbatches: Sequence[Batch],
    objective: Callable[[Any, Batch], Loss],
    optimizer: Optimizer,
    max_norm: float | None = 1.0,
    scale: float = 1.0,
    forward: Callable[[int], AbstractContextManager[object]] = lambda number: nullcontext(),
    last_backward: AbstractContextManager[object] | None = None,
    add_up: Callable[[float, float], tuple[float, float]] = lambda total, count: (total, count),
) -> tuple[float, float]:
    """Move the weights once, along the gradient of the mean loss over all targets of all microbatches.

    Returns that mean, in the objective's unit, and the gradient's norm before it is clipped to `max_norm` (None:
    never). If one of the two is not finite, the weights stay as they are. `scale` multiplies the loss on its way back
    (fp16), and is taken out of the gradients again.

    `forward(number)` is the context of a microbatch's forward pass, `last_backward` that of the last backward pass,
    and `add_up` makes of the sum of the loss and the number of targets here those of all ranks.
    """
    model.train()
    total, count = 0.0, 0.0
    for number, batch in enumerate(microbatches):
        with forward(number):
            loss = objective(model, batch)
        with (last_backward if number == len(microbatches) - 1 else None) or nullcontext():
            (loss.value * scale).backward()  # type: ignore[no-untyped-call]
        total += float(loss.value.detach())
        count += float(loss.count)
    total, count = add_up(total, count)
    mean = total / max(count, 1.0)
    norm = clip_by_norm(model.parameters(), 1 / (scale * max(count, 1.0)), max_norm)
    if norm < float("inf") and abs(mean) < float("inf"):
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return mean, norm
