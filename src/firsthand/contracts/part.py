"""The part that is checked: what it is called, how it is made, how it is asked."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from firsthand.contracts.finding import Broken
from firsthand.contracts.text import VOCABULARY, Text
from firsthand.model.ffns import FFNS
from firsthand.model.mixers import MIXERS
from firsthand.model.norms import NORMS
from firsthand.model.positions import POSITIONS
from firsthand.parts import PartSpec, build, find, split, takes

SLOTS: Mapping[str, Mapping[str, Callable[..., nn.Module]]] = {
    "mixer": MIXERS,
    "ffn": FFNS,
    "position": POSITIONS,
    "norm": NORMS,
}
SIZES = {"d_model": 24, "n_heads": 4, "n_kv_heads": 2, "d_head": 6, "d_ff": 40, "context_length": 256}
USUAL_POSITION = "rope"


@dataclass(frozen=True)
class Part:
    """A part by its slot ("mixer", "ffn", "position", "norm") and its spec, as a recipe would name it.

    `schemes`: the position schemes that a mixer is tried with where it matters. `beside`: other specs of the slot that
    will be checked too, so that what needs a process of its own is done for all of them at once.
    """

    slot: str
    spec: PartSpec
    schemes: tuple[PartSpec, ...] = tuple(POSITIONS)
    beside: tuple[PartSpec, ...] = ()

    @property
    def name(self) -> str:
        """What people call it: MyMixer for my_idea.py:MyMixer."""
        return split(self.spec)[0].rpartition(":")[2]

    @property
    def kind(self) -> Callable[..., nn.Module]:
        """Its class. UserError if there is none of that name."""
        return find(self.slot, SLOTS[self.slot], split(self.spec)[0])

    @property
    def file(self) -> Path | None:
        """Where its code is."""
        try:
            return Path(inspect.getfile(inspect.unwrap(self.kind)))
        except TypeError:
            return None

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes it is built with; those that its spec names outrank ours."""
        return SIZES | {key: value for key, value in split(self.spec)[1].items() if key in SIZES}

    @property
    def positions(self) -> tuple[PartSpec, ...]:
        """The schemes to try it with: one, if its constructor asks for none."""
        return self.schemes if self.takes("position") else self.schemes[:1]

    def takes(self, argument: str) -> bool:
        """Whether its constructor asks for an argument of this name."""
        parameters, takes_any = takes(self.kind)
        return argument in parameters or takes_any

    def make(
        self, position: PartSpec = "", dtype: torch.dtype = torch.float64, seed: int = 0, **arguments: Any
    ) -> nn.Module:
        """The part, drawn from `seed`, in evaluation mode. `arguments` are offered to it and outrank our sizes."""
        sizes = self.sizes | {key: value for key, value in arguments.items() if key in SIZES}
        offered: dict[str, Any] = {"n_layers": 2, "layer": 0, "vocab_size": VOCABULARY, **sizes, **arguments}
        if self.slot == "norm":
            offered["bias"] = True
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if self.slot == "mixer":
                scheme = position or (USUAL_POSITION if USUAL_POSITION in self.schemes else self.schemes[0])
                offered["position"] = build("position", POSITIONS, scheme, **sizes)
            part = build(self.slot, SLOTS[self.slot], self.spec, **offered)
        if not isinstance(part, nn.Module):
            raise Broken(
                f"It makes a {type(part).__name__}, which is no torch.nn.Module.",
                "Only modules have parameters that are trained, moved and saved.",
                "Write class MyPart(torch.nn.Module) and call super().__init__() first in __init__.",
            )
        return part.to(dtype).eval()

    def text(self, batch: int, time: int, dtype: torch.dtype = torch.float64, seed: int = 1) -> Text:
        return Text.random(batch, time, self.sizes["d_model"], dtype, seed)

    def ask(self, part: nn.Module, text: Text) -> Tensor:
        """The output for a text that starts here."""
        return _ASKED[self.slot](part, text, self.sizes)


def _ask_position(part: Any, text: Text, sizes: Mapping[str, int]) -> Tensor:
    """All that a scheme does to a text, side by side: the stream, the heads, the biases of all keys."""
    x, index = text.x, text.place.index
    said = [part.embed(x, index), part.rotate(heads_of(text, sizes), index).transpose(1, 2).flatten(2)]
    bias = part.bias(index, index)
    if bias is not None:
        said.append(bias.sum(1).expand(len(x), -1, -1).to(x.dtype))
    return torch.cat(said, dim=-1)


def heads_of(text: Text, sizes: Mapping[str, int]) -> Tensor:
    """The text's vectors cut, or repeated, to queries: (batch, n_heads, time, d_head)."""
    batch, time, d_model = text.x.shape
    wide = text.x.repeat(1, 1, -(-sizes["n_heads"] * sizes["d_head"] // d_model))
    return wide[..., : sizes["n_heads"] * sizes["d_head"]].view(batch, time, sizes["n_heads"], -1).transpose(1, 2)


Check: TypeAlias = Callable[[Part], None]
"""Raises Broken where a promise is not kept. The first line of its docstring is the promise."""

_ASKED: Mapping[str, Callable[[Any, Text, Mapping[str, int]], Tensor]] = {
    "mixer": lambda part, text, _: part(text.x, text.place)[0],
    "ffn": lambda part, text, _: part(text.x)[0],
    "norm": lambda part, text, _: part(text.x),
    "position": _ask_position,
}
