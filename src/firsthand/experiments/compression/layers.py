"""What a plan has done to each layer: how far its outputs are off, and how weights and activations lie now."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from firsthand.model.language_model import LanguageModel
from firsthand.types import Place

BINS = 80
WIDTH = 4.0
"""Weights are counted between so many root mean squares of the original's."""
MAGNITUDES = (-4.0, 4.0)
"""Sizes of activations are counted between these powers of ten: a few large ones decide what rounding costs."""


@dataclass
class Histogram:
    """Shares of numbers between evenly spaced edges; what lies outside counts to the first and the last."""

    low: float
    high: float
    counts: list[float] = field(default_factory=lambda: [0.0] * BINS)

    def add(self, numbers: Tensor) -> None:
        found = torch.histc(numbers.float().clamp(self.low, self.high), BINS, self.low, self.high)
        self.counts = [before + float(more) for before, more in zip(self.counts, found, strict=True)]


@dataclass(frozen=True)
class Layers:
    """Relative errors: |output - original's| over |original's|, on what the original's layer reads.

    `layers`: of what each adds to the stream. `maps`: of the linear maps in it, by name; where a method has moved a
    scale from one map into another, the first is off by the scale and the layer is not.
    """

    layers: list[float]
    maps: dict[str, float]
    weights: dict[str, Histogram]
    activations: dict[str, Histogram]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@torch.no_grad()
def compare(original: LanguageModel, changed: LanguageModel, windows: Int[Tensor, "windows time"]) -> Layers | None:
    """Both models, layer by layer, on these windows; None if their layers cannot be set beside each other."""
    if len(original.blocks) != len(changed.blocks) or original.embed(windows[:1], Place.of(windows[:1])).shape != (
        changed.embed(windows[:1], Place.of(windows[:1])).shape
    ):
        return None
    scale = _scale(original)
    weights = {side: Histogram(-WIDTH * scale, WIDTH * scale) for side in ("before", "after")}
    activations = {side: Histogram(*MAGNITUDES) for side in ("before", "after")}
    place = Place.of(windows)
    x = first = original.embed(windows, place)
    layers, maps = [], {}
    for number, (block, other) in enumerate(zip(original.blocks, changed.blocks, strict=True)):
        x = original.residuals[number].enter(x, first)  # type: ignore[operator]
        names = [name for name, part in block.named_modules() if type(part) is nn.Linear]
        with (
            _outputs(block, names, activations["before"]) as wanted,
            _outputs(other, names, activations["after"]) as is_,
        ):
            y, given = block(x, place, None)[0], other(x, place, None)[0]
        layers.append(_error(given - x, y - x))
        for name in names:
            weights["before"].add(block.get_parameter(f"{name}.weight"))
            if name in is_ and is_[name].shape == wanted[name].shape:
                maps[f"blocks.{number}.{name}"] = _error(is_[name], wanted[name])
            if isinstance(weight := getattr(_part(other, name), "weight", None), Tensor):
                weights["after"].add(weight)
        x = y
    return Layers(layers, maps, weights, activations)


@contextmanager
def _outputs(block: nn.Module, names: list[str], sizes: Histogram) -> Iterator[dict[str, Tensor]]:
    """What the maps called so give while the block works; what they read is counted by its size."""
    found: dict[str, Tensor] = {}

    def hook(name: str) -> Any:
        def keep(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            found[name] = output
            sizes.add(inputs[0].float().abs().clamp_min(1e-30).log10())

        return keep

    parts = {name: _part(block, name) for name in names}
    handles = [part.register_forward_hook(hook(name)) for name, part in parts.items() if part is not None]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _part(block: nn.Module, name: str) -> nn.Module | None:
    return dict(block.named_modules()).get(name)


def _error(given: Float[Tensor, "..."], wanted: Float[Tensor, "..."]) -> float:
    return float((given - wanted).double().norm() / wanted.double().norm().clamp_min(1e-30))


def _scale(model: LanguageModel) -> float:
    """The root mean square of the weights of all maps."""
    weights = [part.weight for part in model.blocks.modules() if type(part) is nn.Linear]
    total = sum(float(weight.double().square().sum()) for weight in weights)
    return float((total / max(1, sum(weight.numel() for weight in weights))) ** 0.5) or 1.0
