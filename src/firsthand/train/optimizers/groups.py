"""Which parameters are treated alike, the learning rate they share, and their state by name."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

NamedParameters = list[tuple[str, nn.Parameter]]

EMBEDDINGS = ("embedding.", "unembedding.", "position.")
"""Names that start so look up or score tokens: matrices that are no linear map between hidden spaces."""


def is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    """A weight that maps hidden features to hidden features: what Muon is for.

    By convention such a parameter, and no other, is called `weight` and has the axes (out, in), or (n, out, in) for a
    stack of n matrices (experts). Gains, taps of a convolution and rates of decay have other names.
    """
    return name.endswith("weight") and parameter.ndim in (2, 3) and not name.startswith(EMBEDDINGS)


def decay_groups(named: Iterable[tuple[str, nn.Parameter]], weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; gains, biases and other vectors do not."""
    parameters = [parameter for _, parameter in named]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def set_rate(optimizer: Optimizer, multiplier: float) -> float:
    """Give each group its own peak rate times `multiplier`; returns the rate of the first group."""
    for group in optimizer.param_groups:
        group.setdefault("peak_lr", group["lr"])
        group["lr"] = group["peak_lr"] * multiplier
    return float(optimizer.param_groups[0]["lr"])


def state_tensors(optimizer: Optimizer, named: Iterable[tuple[str, nn.Parameter]]) -> dict[str, Tensor]:
    """The optimizer's state as `{parameter name}.{slot}` -> tensor."""
    return {
        f"{name}.{slot}": value
        for name, parameter in named
        for slot, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def load_state_tensors(
    optimizer: Optimizer, named: Iterable[tuple[str, nn.Parameter]], tensors: dict[str, Tensor]
) -> None:
    """Put back what `state_tensors` gave."""
    parameters = dict(named)
    for key, tensor in tensors.items():
        name, _, slot = key.rpartition(".")
        parameter = parameters[name]
        optimizer.state[parameter][slot] = tensor.to(parameter.device, copy=True)


def by_shape(parameters: Iterable[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Parameters of equal shape together, in a fixed order."""
    groups: dict[torch.Size, list[nn.Parameter]] = {}
    for parameter in parameters:
        groups.setdefault(parameter.shape, []).append(parameter)
    yield from groups.values()
