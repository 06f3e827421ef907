"""Teaching a trained model something new with few weights: adapters, 4-bit bases, frozen parts, heads for classes.

To write your own adapter: a class whose arguments are what a recipe may set, with `targets` (which maps it is for),
`own` (how its parameters are called) and `__call__(linear) -> nn.Module`. What it returns keeps the map as `linear`,
and `merged()` gives one nn.Linear that does the same. Then a line in the table, or `adapt.adapter=my_idea.py:Mine`.
"""

from collections.abc import Callable
from typing import Any, Protocol

from torch import nn

from firsthand.adapt.dora import DoRA
from firsthand.adapt.lora import LoRA
from firsthand.adapt.nf4 import NF4


class Adapter(Protocol):
    targets: str | list[str]
    own: tuple[str, ...]

    def __call__(self, linear: nn.Module) -> nn.Module: ...


ADAPTERS: dict[str, Callable[..., Adapter]] = {"lora": LoRA, "dora": DoRA}
QUANTIZERS: dict[str, Callable[..., Any]] = {"nf4": NF4}
