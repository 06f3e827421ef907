"""What a checkpoint of a compressed model says, beside the weights that stand in full."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from firsthand.compress.sparse import filled, thinned
from firsthand.errors import DamagedError
from firsthand.model.language_model import LanguageModel
from firsthand.model.quantized import quantized_parts
from firsthand.ops.quantized import Quantized
from firsthand.ops.quantized.affine import Affine

NARROW = (torch.float16, torch.bfloat16)


def contents(model: LanguageModel) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """Everything that a file must hold, and what must be known to read it again (None: nothing beside names).

    The tensors are weights in full by their names, each as narrow as loses nothing, and what the formats keep of the
    others, as NAME.codes and so on. Where zeros are many, only their places (sparse.py).
    """
    tensors, sparse = thinned(_dense(model), _centres(model))
    quantized = {name: part.quantized.to_json() for name, part in quantized_parts(model)}
    described = {key: tree for key, tree in (("quantized", quantized), ("sparse", sparse)) if tree}
    return tensors, described or None


def _dense(model: LanguageModel) -> dict[str, Tensor]:
    """The tensors, zeros included."""
    kept = {f"{name}.{key}": tensor for name, part in quantized_parts(model) for key, tensor in part.named_buffers()}
    return kept | {name: _narrow(parameter.detach()) for name, parameter in model.named_parameters()}


def _centres(model: LanguageModel) -> dict[str, int]:
    """The code that means zero, of codes that stand two in a byte."""
    formats = {name: part.quantized.format for name, part in quantized_parts(model)}
    return {
        f"{name}.codes": -format.codes[0]
        for name, format in formats.items()
        if isinstance(format, Affine) and format.symmetric and format.bits <= 4
    }


def apart(
    tensors: Mapping[str, Tensor], described: Mapping[str, Any] | None, where: str
) -> tuple[dict[str, Tensor], dict[str, Quantized]]:
    """The weights in full, and those in few bits by the names of their parts. DamagedError if they do not fit."""
    tensors = filled(tensors, (described or {}).get("sparse", {}), where)
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
