"""Into a table made beforehand, which is cut where all rows have ended."""

from collections.abc import Callable, Collection

import torch
from torch import Tensor, nn


@torch.no_grad()
def generate(
    model: nn.Module,
    ids: Tensor,
    max_new_tokens: int,
    sample: Callable[[Tensor], Tensor],
    stop: Collection[int] = (),
) -> Tensor:
    batch, start = ids.shape
    table = torch.cat((ids, ids.new_zeros(batch, max_new_tokens)), 1)
    running = torch.ones(batch, dtype=torch.bool)
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    now = start
    while now < start + max_new_tokens and running.any():
        logits = model(table[:, max(0, now - model.context_length) : now])
        new = sample(logits[:, -1, :])
        table[:, now] = torch.where(running, new, table[:, now - 1])
        for id in stop:
            running = running & (table[:, now] != id)
        now += 1
    for part, mode in modes:
        part.training = mode
    return table[:, :now]
