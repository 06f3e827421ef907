"""What a model's linear maps read: the calibration text goes through it layer by layer."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from firsthand.errors import UserError
from firsthand.model.language_model import LanguageModel
from firsthand.types import Place

TOGETHER = 8
"""Windows that go through a layer at once."""


@runtime_checkable
class Statistic(Protocol):
    """Something that is added up over the inputs of a map."""

    def add(self, x: Float[Tensor, "rows d_in"]) -> None: ...


class Gram:
    """Xᵀ X over all rows, and how many there were: what GPTQ and SparseGPT call H, up to a factor."""

    def __init__(self, d_in: int) -> None:
        self.total, self.rows = torch.zeros(d_in, d_in, dtype=torch.float64), 0

    def add(self, x: Float[Tensor, "rows d_in"]) -> None:
        self.total += (x.T @ x).double()
        self.rows += len(x)


class Sizes:
    """Of each channel: the sum of squares, the sum of sizes and the largest size over all rows."""

    def __init__(self, d_in: int) -> None:
        self.squares, self.sum = torch.zeros(d_in, dtype=torch.float64), torch.zeros(d_in, dtype=torch.float64)
        self.largest, self.rows = torch.zeros(d_in), 0

    def add(self, x: Float[Tensor, "rows d_in"]) -> None:
        self.squares += x.double().square().sum(0)
        self.sum += x.double().abs().sum(0)
        self.largest = torch.maximum(self.largest, x.abs().amax(0))
        self.rows += len(x)


def windows_of(ids: Int[Tensor, " tokens"], count: int, length: int) -> Int[Tensor, "count length"]:
    """The first `count` windows of `length` tokens. UserError for a text that is too short."""
    if len(ids) < count * length:
        raise UserError(
            f"The calibration text has {len(ids):,} tokens, but {count} windows of {length} need {count * length:,}. "
            "Give a longer text, or ask for fewer or shorter windows."
        )
    return ids[: count * length].view(count, length)


@torch.no_grad()
def layer_by_layer(
    model: LanguageModel,
    windows: Int[Tensor, "windows time"],
    statistic: Callable[[int], Statistic],
    change: Callable[[str, nn.Linear, Statistic], None],
    done: Callable[[float, str], object] = lambda share, what: None,
) -> None:
    """Let the windows go through the model; before they leave a layer, each of its linear maps may be changed.

    `statistic(d_in)` makes what is added up over a map's inputs; `change(name, map, statistic)` is called for every
    map of a layer when all windows have been through it. Then they go through the changed layer, so that later layers
    see what earlier ones have become (GPTQ, arXiv 2210.17323, section 4). `change` may replace the map in the model.
    """
    model.eval()
    place = Place.of(windows)
    hidden = [model.embed(some, Place.of(some)) for some in windows.split(TOGETHER)]
    first = list(hidden)
    for number, (block, residual) in enumerate(zip(model.blocks, model.residuals, strict=True)):
        entered = [residual.enter(x, start) for x, start in zip(hidden, first, strict=True)]  # type: ignore[operator]
        rows = [Place(place.index, None, some) for some in windows.split(TOGETHER)]
        maps = {name: part for name, part in block.named_modules() if type(part) is nn.Linear}
        found = {name: statistic(part.in_features) for name, part in maps.items()}
        _listen(block, maps, found, entered, rows)
        for name, part in maps.items():
            change(f"blocks.{number}.{name}", part, found[name])
        hidden = [block(x, where, None)[0] for x, where in zip(entered, rows, strict=True)]
        done((number + 1) / len(model.blocks), f"layer {number + 1} of {len(model.blocks)}")


def _listen(
    block: nn.Module,
    maps: dict[str, nn.Linear],
    found: dict[str, Statistic],
    entered: list[Tensor],
    rows: list[Place],
) -> None:
    """Let what enters a block go through it, and add up what its maps read."""

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, inputs: found[name].add(inputs[0].detach().float().flatten(0, -2))

    handles = [part.register_forward_pre_hook(hook(name)) for name, part in maps.items()]
    try:
        for x, where in zip(entered, rows, strict=True):
            block(x, where, None)
    finally:
        for handle in handles:
            handle.remove()
