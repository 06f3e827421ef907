"""What rounding each map of a model would cost, estimated from one backward pass a window.

The loss rises by about ½ Σ (gᵀ Δy)², where g is its gradient for the map's output at a token and Δy the change there:
the Fisher information in the place of the Hessian (SqueezeLLM, arXiv 2306.07629, section 4.1).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn import functional as F

from firsthand.compress.subject import linear_maps
from firsthand.errors import UserError
from firsthand.model.language_model import LanguageModel
from firsthand.ops.quantized import Quantized
from firsthand.ops.quantized.affine import Affine
from firsthand.types import Place

LADDER: tuple[dict[str, Any], ...] = (
    {"bits": 8, "group": None, "symmetric": True},
    {"bits": 4, "group": 32, "symmetric": False},
    {"bits": 4, "group": 128, "symmetric": False},
)
"""Formats from the largest to the smallest."""

WINDOWS = 8
"""So many of the windows are read, at most."""


@dataclass(frozen=True)
class Cost:
    """Of a map in each format of LADDER: nats a token, and bytes."""

    nats: list[float]
    bytes: list[int]


def sensitivity(
    model: LanguageModel,
    windows: Int[Tensor, "windows time"],
    done: Callable[[float, str], object] = lambda share, what: None,
) -> dict[str, Cost]:
    """What each map within the layers would cost in each format, alone. UserError for a model without maps in full."""
    maps = linear_maps(model)
    if not maps:
        raise UserError("There is no linear map in full to look for formats for. Begin with the model as it was.")
    windows = windows[:WINDOWS]
    kept = {name: [Quantized.of(part.weight, Affine(**form)) for form in LADDER] for name, part in maps.items()}
    off = {name: [one.full() - maps[name].weight.detach() for one in forms] for name, forms in kept.items()}
    nats = {name: [0.0] * len(LADDER) for name in maps}
    for number, window in enumerate(windows, 1):
        for name, x, gradient in _backward(model, maps, window.unsqueeze(0)):
            for place, difference in enumerate(off[name]):
                change = (F.linear(x, difference) * gradient).sum(-1)
                nats[name][place] += float(change.double().square().sum()) / 2 / windows.numel()
        done(number / len(windows), "what would rounding cost?")
    return {name: Cost(nats[name], [one.bytes for one in forms]) for name, forms in kept.items()}


def _backward(
    model: LanguageModel, maps: dict[str, nn.Linear], ids: Int[Tensor, "1 time"]
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Of every map: what it read, and the gradient of the summed loss for what it gave."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def hook(name: str) -> Any:
        def keep(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            output.retain_grad()
            seen[name] = (inputs[0].detach(), output)

        return keep

    handles = [part.register_forward_hook(hook(name)) for name, part in maps.items()]
    try:
        with torch.enable_grad():
            place = Place.of(ids[:, :-1])
            logits = model(ids[:, :-1], place)
            F.cross_entropy(logits[0].float(), ids[0, 1:], reduction="sum").backward()  # type: ignore[no-untyped-call]
    finally:
        for handle in handles:
            handle.remove()
        model.zero_grad(set_to_none=True)
    for name, (x, output) in seen.items():
        if output.grad is not None:
            yield name, x, output.grad
