"""What a checkpoint of a compressed model says, beside the weights that stand in full."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from firsthand.errors import DamagedError
from firsthand.model.language_model import LanguageModel
from firsthand.model.quantized import quantized_parts
from firsthand.ops.quantized import Quantized

NARROW = (torch.float16, torch.bfloat16)


def tensors_of(model: LanguageModel) -> dict[str, Tensor]:
    """Everything that a file must hold: weights in full by their names, each as narrow as loses nothing, and what the
    formats keep of the others, as NAME.codes and so on."""
    kept = {f"{name}.{key}": tensor for name, part in quantized_parts(model) for key, tensor in part.named_buffers()}
    return kept | {name: _narrow(parameter.detach()) for name, parameter in model.named_parameters()}


def description(model: LanguageModel) -> dict[str, Any] | None:
    """What must be known to read `tensors_of` again; None for a model that is like any other."""
    quantized = {name: part.quantized.to_json() for name, part in quantized_parts(model)}
    return {"quantized": quantized} if quantized else None


def apart(
    tensors: Mapping[str, Tensor], described: Mapping[str, Any] | None, where: str
) -> tuple[dict[str, Tensor], dict[str, Quantized]]:
    """The weights in full, and those in few bits by the names of their parts. DamagedError if they do not fit."""
    weights, quantized = dict(tensors), {}
    owned: dict[str, list[str]] = {}
    for key in tensors:
        owned.setdefault(key.rpartition(".")[0], []).append(key)
    try:
        for name, tree in (described or {}).get("quantized", {}).items():
            own = {key.rpartition(".")[2]: weights.pop(key) for key in owned.get(name, [])}
            bias = own.pop("bias", None)
            if bias is not None:
                weights[f"{name}.bias"] = bias
            quantized[name] = Quantized.of_json(tree, own)
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError, OverflowError) as error:
        raise DamagedError(f"{where}: what it says about its weights in few bits is damaged ({error}).") from None
    return {name: tensor.float() if tensor.dtype in NARROW else tensor for name, tensor in weights.items()}, quantized


def _narrow(tensor: Tensor) -> Tensor:
    for dtype in NARROW:
        if torch.equal(tensor.to(dtype).to(tensor.dtype), tensor):
            return tensor.to(dtype)
    return tensor
