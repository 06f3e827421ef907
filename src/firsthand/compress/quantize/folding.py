"""Scales of channels that cost nothing: what is divided in the part before is multiplied in the maps that read it."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from firsthand.compress.calibration import Layer
from firsthand.types import Place

TRIED = 64
"""So many tokens show whether a layer is the same after its channels were scaled."""

ALIKE = 1e-4
"""How far its output may be off then, of what it adds to the stream."""


def source_of(layer: Layer, readers: list[str]) -> str | None:
    """The part of the layer that makes what the maps read, so that its output can be divided channel by channel.

    A norm with a gain, or a linear map that leads to them by products and sums alone. Which one it is tells a trial:
    each part of the right width is divided by some powers of two and the maps multiplied, and the layer must stay the
    same; so nothing need be known about the mixer or the FFN. None if no part passes (as through a softmax or a GELU).
    """
    maps = layer.maps
    width = maps[readers[0]].in_features
    scales = 2.0 ** torch.randint(-1, 2, (width,), generator=torch.Generator().manual_seed(0))  # exact both ways
    before = _sample(layer)
    for name in _candidates(layer, readers, width):
        scale_channels(layer, name, readers, scales)
        alike = bool((_sample(layer) - before).norm() <= ALIKE * before.norm())
        scale_channels(layer, name, readers, 1 / scales)
        if alike:
            return name
    return None


@torch.no_grad()
def scale_channels(layer: Layer, source: str, readers: list[str], scales: Float[Tensor, " channels"]) -> None:
    """Divide the channels that `source` makes by `scales`, and multiply with them where they are read."""
    part: Any = layer.block.get_submodule(source)
    maker = part.weight if isinstance(part, nn.Linear) else part.gain
    for made in (maker, part._parameters.get("bias")):
        if made is not None:
            made.div_(scales.unsqueeze(1) if made.ndim == 2 else scales)
    maps = layer.maps
    for name in readers:
        maps[name].weight.mul_(scales)


def _candidates(layer: Layer, readers: list[str], width: int) -> Iterator[str]:
    """Parts that make so many channels: those with a gain first, and linear maps that are none of the readers."""
    inside = list(layer.block.named_modules())
    for name, part in inside:
        gain, bias = part._parameters.get("gain"), part._parameters.get("bias")
        if gain is not None and tuple(gain.shape) == (width,) and (bias is None or bias.shape == gain.shape):
            yield name
    for name, part in inside:
        if type(part) is nn.Linear and part.out_features == width and f"{layer.name}.{name}" not in readers:
            yield name


@torch.no_grad()
def _sample(layer: Layer) -> Float[Tensor, "rows d_model"]:
    """What the layer adds to the stream of a few tokens."""
    x, place = layer.inputs[0][:1, :TRIED], layer.places[0]
    ids = None if place.ids is None else place.ids[:1, :TRIED]
    y: Tensor = layer.block(x, Place(place.index[:1, :TRIED], None, ids), None)[0]
    return (y - x)[0]
