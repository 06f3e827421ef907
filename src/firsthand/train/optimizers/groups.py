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


def parameter_groups(named_parameters: Iterable[tuple[str, nn.Parameter]], weight_decay: float) -> list[dict[str, Any]]:
    """Hidden matrices and tables (embedding, head, positions) decay; gains, biases, taps and other vectors do not.

    `hidden` says of a group which of them it is.
    """
    kinds: dict[str, list[nn.Parameter]] = {"hidden": [], "table": [], "vector": []}
    for name, parameter in named_parameters:
        table = name.startswith(EMBEDDINGS) and parameter.ndim >= 2
        kinds["hidden" if is_hidden_matrix(name, parameter) else "table" if table else "vector"].append(parameter)
    return [
        {"params": parameters, "weight_decay": 0.0 if kind == "vector" else weight_decay, "hidden": kind == "hidden"}
        for kind, parameters in kinds.items()
        if parameters
    ]


def width_rates(
    groups: list[dict[str, Any]], lr: float, hidden: float = 1.0, others: float = 1.0
) -> list[dict[str, Any]]:
    """The groups with the rates that muP's rules ask for in a model of another width than `lr` was found at.

    `hidden` and `others` multiply the rate of hidden matrices and of everything else. What decay takes in a step,
    lr · weight_decay, stays what it was. The group whose rate is `lr` itself comes first, since that one is logged.
    """
    for group in groups:
        factor = hidden if group["hidden"] else others
        group |= {"lr": lr * factor, "weight_decay": group["weight_decay"] / factor}
    return sorted(groups, key=lambda group: bool(group["lr"] != lr))


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
