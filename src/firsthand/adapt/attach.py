"""Putting adapters into a model, taking them out, and folding them into its weights."""

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from firsthand.adapt.lora import linear_of
from firsthand.errors import UserError, suggest

WORDS = {"attention": ["blocks.*.mixer.*"], "ffn": ["blocks.*.ffn.*"], "all": ["blocks.*"]}
"""Short names of targets. The mixer's maps are meant by the first, whichever mixer it is."""


def targeted(model: nn.Module, targets: str | list[str]) -> list[str]:
    """The names of the model's linear maps that `targets` means.

    A target is one of WORDS, a pattern of whole names ("blocks.0.*", "*.mixer.query"), or the last part of names
    ("query"). UserError for one that means nothing.
    """
    names = linear_names(model)
    chosen: set[str] = set()
    for target in [targets] if isinstance(targets, str) else targets:
        patterns = WORDS.get(target, [target if "." in target else f"*.{target}"])
        found = {name for name in names for pattern in patterns if fnmatchcase(name, pattern)}
        if not found:
            known = {*WORDS, *(name.rpartition(".")[2] for name in names)}
            raise UserError(
                f"adapt.adapter.targets: no linear map of this model is {target!r}. {suggest(target, known)}"
            )
        chosen |= found
    return [name for name in names if name in chosen]


def linear_names(model: nn.Module) -> list[str]:
    """The linear maps within a model's layers."""
    return [name for name, part in model.named_modules() if name.startswith("blocks.") and type(part) is nn.Linear]


def attach(model: nn.Module, adapter: Any, quantizer: Callable[[nn.Linear], nn.Module] | None = None) -> list[str]:
    """Put the adapter around each of its targets, all layers' maps quantized before if there is a quantizer.

    Returns the names of the maps that it was put around; their new parameters come from torch's global generator.
    """
    names = targeted(model, adapter.targets) if adapter else []
    for name in linear_names(model) if quantizer else []:
        _replace(model, name, quantizer)
    for name in names:
        _replace(model, name, adapter)
    return names


def merge(model: nn.Module) -> dict[str, nn.Module]:
    """Put in the place of each adapter the one map that does the same. Returns the adapters, for `unmerge`."""
    parts: dict[str, nn.Module] = {}
    for name, part in model.named_modules():
        if hasattr(part, "merged") and name.removesuffix(".linear") not in parts:
            parts[name] = part
    for name in parts:
        _replace(model, name, lambda part: part.merged())
    return parts


def unmerge(model: nn.Module, adapters: Mapping[str, nn.Module]) -> None:
    """Undo `merge`: every weight has the bits that it had, since an adapter keeps the map that it stands around."""
    for name, adapter in adapters.items():
        _replace(model, name, lambda _, adapter=adapter: adapter)


def merged_weights(
    weights: Mapping[str, Tensor],
    learnt: Mapping[str, Tensor],
    adapter: Any,
    quantizer: Callable[[nn.Linear], Any] | None = None,
    quantized: Iterable[str] = (),
) -> dict[str, Tensor]:
    """The weights of a model without adapters that does what the one with them does, all by parameter name.

    `weights`: of the base, if it is saved elsewhere. `learnt`: what the run saved, the adapters' own and others.
    `quantized`: the maps whose weights the quantizer has rounded. UserError if these do not belong together.
    """
    own: tuple[str, ...] = adapter.own if adapter else ()
    adapted = dict.fromkeys(name.rpartition(".")[0] for name in learnt if name.rpartition(".")[2] in own)
    within = tuple(f"{name}." for name in adapted)
    result = dict(weights) | {name.replace(".linear.", "."): tensor for name, tensor in learnt.items()}
    try:
        for name in quantized:
            assert quantizer is not None, "what is quantized has a quantizer"
            result[f"{name}.weight"] = quantizer(linear_of(result[f"{name}.weight"], None)).weight
        for name in adapted:
            tensors = {key: learnt[f"{name}.{key}"] for key in own}
            result[f"{name}.weight"] = _with_own(adapter, result[f"{name}.weight"], tensors)
    except KeyError as missing:
        raise UserError(f"The adapter does not belong to its base: there is no {missing}.") from None
    return {name: tensor for name, tensor in result.items() if not (name.startswith(within) and name.endswith(own))}


@torch.no_grad()
def _with_own(adapter: Any, weight: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
    """The weight that an adapter which has learnt `tensors` makes of this one. UserError if a shape does not fit."""
    sketch = adapter(linear_of(weight.to("meta"), None))  # nothing is allocated for a rank that a file only claims
    for key, tensor in tensors.items():
        if getattr(sketch, key).shape != tensor.shape:
            raise UserError(
                f"An adapter's {key} is {tuple(tensor.shape)} in the file and {tuple(getattr(sketch, key).shape)} by "
                "its settings: it was made for another model, or with another rank."
            )
    part = adapter(linear_of(weight, None))
    for key, tensor in tensors.items():
        getattr(part, key).copy_(tensor)
    merged: Tensor = part.merged().weight
    return merged


def _replace(model: nn.Module, name: str, change: Any) -> None:
    parent, _, last = name.rpartition(".")
    before = model.get_submodule(name)
    setattr(model.get_submodule(parent), last, change(before).train(before.training))
