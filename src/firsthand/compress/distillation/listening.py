"""What goes on inside a model while it reads: the stream after some layers, and who looks at whom."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from firsthand.errors import UserError
from firsthand.model.language_model import LanguageModel
from firsthand.model.mixers.kv_cache import Readable
from firsthand.model.mixers.lookup import Lookup


@dataclass
class Heard:
    """By the number of the layer: `hidden` (batch, time, d_model) after it, `maps` (batch, heads, query, key) in it."""

    hidden: dict[int, Tensor] = field(default_factory=dict)
    maps: dict[int, Tensor] = field(default_factory=dict)


def lookup_of(model: LanguageModel, layer: int, whose: str) -> Lookup:
    """What looks keys up in a layer. UserError if it has no attention; `whose` model it is, the error says."""
    found = getattr(getattr(model.blocks[layer], "mixer", None), "lookup", None)
    if not isinstance(found, Lookup):
        raise UserError(
            f"train.objective.attention: layer {layer} of the {whose} has no attention, so nobody looks at anybody "
            "there. Name a layer that has, or match hidden states (hidden) instead."
        )
    return found


@contextmanager
def listening(model: LanguageModel, hidden: Collection[int] = (), maps: Collection[int] = ()) -> Iterator[Heard]:
    """Within it, what these layers do is written down as the model reads."""
    heard = Heard()

    def after(layer: int) -> Callable[..., None]:
        def hook(block: nn.Module, inputs: Any, outputs: Any) -> None:
            heard.hidden[layer] = outputs[0]

        return hook

    def before(layer: int) -> Callable[..., None]:
        def hook(lookup: Lookup, inputs: tuple[Tensor, Readable, Tensor | None]) -> None:
            heard.maps[layer] = attention_map(lookup, *inputs)

        return hook

    hooks = [model.blocks[layer].register_forward_hook(after(layer)) for layer in hidden]
    hooks += [lookup_of(model, layer, "model").register_forward_pre_hook(before(layer)) for layer in maps]
    try:
        yield heard
    finally:
        for one in hooks:
            one.remove()


def attention_map(
    lookup: Lookup, query: Tensor, reads: Readable, bias: Tensor | None
) -> Float[Tensor, "batch heads query key"]:
    """The share of its attention that each query gives to each key: what comes back where the j-th value is the j-th
    unit vector."""
    batch, heads, keys, _ = reads.keys.shape
    units = torch.eye(keys, dtype=query.dtype, device=query.device).expand(batch, heads, -1, -1)
    found: Tensor = lookup.forward(query, Readable(reads.keys, units, reads.index, reads.rules), bias)
    return found
