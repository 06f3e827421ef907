"""Which experts are how busy: counted while a model reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from firsthand.model.ffns.experts import Experts


@contextmanager
def expert_visits(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """A mapping that fills while the model reads: the name of each mixture of experts to the visits of each expert."""
    visits: dict[str, Tensor] = {}

    def count(name: str, ffn: Experts, inputs: tuple[Any, ...]) -> None:
        with torch.no_grad():
            new = ffn.counts(ffn.route(inputs[0].flatten(0, 1))[1])
            visits[name] = visits[name] + new if name in visits else new

    handles = [
        module.register_forward_pre_hook(lambda ffn, inputs, name=name: count(name, ffn, inputs))
        for name, module in model.named_modules()
        if isinstance(module, Experts)
    ]
    try:
        yield visits
    finally:
        for handle in handles:
            handle.remove()


def shares(visits: dict[str, Tensor]) -> dict[str, list[float]]:
    """The share of all visits that each expert got; 1 / n_experts where all are equally busy."""
    return {name: (counts / counts.sum()).tolist() for name, counts in visits.items()}
