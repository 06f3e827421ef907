"""How much a model's predictions change when one of its maps alone is rounded."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from firsthand.model.language_model import LanguageModel
from firsthand.ops.quantized import Quantized
from firsthand.types import Place


@torch.no_grad()
def sensitivities(
    model: LanguageModel,
    windows: Int[Tensor, "windows time"],
    maps: Mapping[str, Any],
    formats: Sequence[Any],
    done: Callable[[float, str], object] = lambda share, what: None,
) -> dict[str, list[float]]:
    """KL(model ‖ model with this one map rounded), nats a token, for each of the maps within layers in each format.

    A map's layer and those behind it are computed again, those before it only once. The model is as it was afterwards.
    """
    model.eval()
    place = Place.of(windows)
    x = first = model.embed(windows, place)
    full = _log_likely(model, model.trunk(x, place)[0])
    found: dict[str, list[float]] = {}
    for number, residual in enumerate(model.residuals):
        own = [name for name in maps if name.startswith(f"blocks.{number}.")]
        for name in own:
            weight = maps[name].weight.detach().clone()
            found[name] = []
            for format in formats:
                maps[name].weight.copy_(Quantized.of(weight, format).full())
                changed = _log_likely(model, _from_layer(model, number, x, first, place))
                found[name].append(float((full.exp() * (full - changed)).sum(-1).mean()))
            maps[name].weight.copy_(weight)
            done(len(found) / len(maps), name)
        x = model.blocks[number](residual.enter(x, first), place, None)[0]  # type: ignore[operator]
    return found


def _from_layer(model: LanguageModel, number: int, x: Tensor, first: Tensor, place: Place) -> Tensor:
    """What the trunk makes of the stream before a layer."""
    for block, residual in list(zip(model.blocks, model.residuals, strict=True))[number:]:
        x = block(residual.enter(x, first), place, None)[0]  # type: ignore[operator]
    return x


def _log_likely(model: LanguageModel, x: Float[Tensor, "batch time d_model"]) -> Float[Tensor, "batch time vocab"]:
    return F.log_softmax(model.head(x).float(), -1)
