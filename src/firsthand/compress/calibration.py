"""What a model's linear maps read: the calibration text goes through it layer by layer."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

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


@dataclass
class Layer:
    """A layer of a model, and what the calibration text is when it comes there. Maps go by their names in the model."""

    name: str
    block: nn.Module
    inputs: list[Float[Tensor, "_ time d_model"]]
    places: list[Place]

    @property
    def maps(self) -> dict[str, nn.Linear]:
        """Those whose weight stands in full."""
        inside = self.block.named_modules()
        return {f"{self.name}.{name}": part for name, part in inside if type(part) is nn.Linear}

    def readers(self) -> list[list[str]]:
        """The maps in the order in which they are called, those that read the same tensor together.

        A map that is never called (a router whose weight is read directly) is none of them.
        """
        groups: list[tuple[Tensor, list[str]]] = []

        def note(name: str, x: Tensor) -> None:
            known = next((names for tensor, names in groups if tensor is x), None)
            if known is None:
                groups.append((x, known := []))
            if not any(name in names for _, names in groups):
                known.append(name)

        place = self.places[0]
        self._listen(dict.fromkeys(self.maps, note), [self.inputs[0][:1]], [_rows(place, 1)])
        return [names for _, names in groups if names]

    def gather(self, statistic: Callable[[int], Statistic], only: Iterable[str] | None = None) -> dict[str, Any]:
        """`statistic(d_in)` makes what is added up over a map's inputs; here it is for each map (of `only` these).

        Maps that read the same tensor share one, and that of a map which is never called has seen nothing.
        """
        every = self.maps
        maps, found = every if only is None else {name: every[name] for name in only}, dict[str, Any]()
        heard: dict[str, Callable[[str, Tensor], None]] = {}
        for names in ([name for name in group if name in maps] for group in self.readers()):
            if not names:
                continue
            shared = statistic(maps[names[0]].in_features)
            found |= dict.fromkeys(names, shared)
            heard[names[0]] = partial(_add, shared)
        self._listen(heard, self.inputs, self.places)
        return {name: found[name] if name in found else statistic(part.in_features) for name, part in maps.items()}

    def outputs(self) -> list[Float[Tensor, "_ time d_model"]]:
        """What the layer, as it is now, hands on."""
        return [self.block(x, place, None)[0] for x, place in zip(self.inputs, self.places, strict=True)]

    @torch.no_grad()
    def _listen(
        self, heard: dict[str, Callable[[str, Tensor], None]], inputs: list[Tensor], places: list[Place]
    ) -> None:
        """Let what enters the layer go through it; what each map reads is told to its function in `heard`."""

        def hook(name: str, tell: Callable[[str, Tensor], None]) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
            return lambda _, read: tell(name, read[0])

        maps = self.maps
        handles = [maps[name].register_forward_pre_hook(hook(name, tell)) for name, tell in heard.items()]
        try:
            for x, place in zip(inputs, places, strict=True):
                self.block(x, place, None)
        finally:
            for handle in handles:
                handle.remove()


@torch.no_grad()
def layers(
    model: LanguageModel,
    windows: Int[Tensor, "windows time"],
    done: Callable[[float, str], object] = lambda share, what: None,
) -> Iterator[Layer]:
    """Let the windows go through the model, and stop before each layer: what the taker makes of it is what they then
    go through, so that later layers see what earlier ones have become (GPTQ, arXiv 2210.17323, section 4)."""
    model.eval()
    some = torch.split(windows, TOGETHER)
    places = [Place.of(ids) for ids in some]
    hidden = [model.embed(ids, place) for ids, place in zip(some, places, strict=True)]
    first = list(hidden)
    for number, residual in enumerate(model.residuals):
        entered = [residual.enter(x, start) for x, start in zip(hidden, first, strict=True)]  # type: ignore[operator]
        layer = Layer(f"blocks.{number}", model.blocks[number], entered, places)
        yield layer
        hidden = layer.outputs()
        done((number + 1) / len(model.blocks), f"layer {number + 1} of {len(model.blocks)}")


@torch.no_grad()
def layer_by_layer(
    model: LanguageModel,
    windows: Int[Tensor, "windows time"],
    statistic: Callable[[int], Any],
    change: Callable[[str, nn.Linear, Any], None],
    done: Callable[[float, str], object] = lambda share, what: None,
) -> None:
    """`change(name, map, statistic)` for every map of a layer when all windows have been through it, then for those of
    the next layer. It may replace the map in the model."""
    for layer in layers(model, windows, done):
        maps, found = layer.maps, layer.gather(statistic)
        for name, part in maps.items():
            change(name, part, found[name])


def _add(statistic: Any, name: str, x: Tensor) -> None:
    """What a map has read goes to its statistic."""
    statistic.add(x.detach().float().flatten(0, -2))


def _rows(place: Place, count: int) -> Place:
    """The place of the first rows."""
    return Place(place.index[:count], None, None if place.ids is None else place.ids[:count])
