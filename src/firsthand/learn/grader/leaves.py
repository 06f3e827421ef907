"""What an exercise returns, taken apart into leaves that can be compared and stored."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

Leaf: TypeAlias = Tensor | str | int | float | bool | list[Any] | None
Leaves: TypeAlias = dict[str, Leaf]
"""By path: "out" for a value alone, "out.0" for the first of a tuple, "out.loss" for a field or a key."""

EXACT, SINGLE = 1e-8, 1e-4
"""Relative to the largest number of the target: what two right answers may differ by in fp64 and fp32."""


def leaves(value: Any, path: str = "out") -> Leaves:
    """The tensors and plain values within `value`. Tensors are copied; what cannot be compared is named by its type."""
    if isinstance(value, Tensor):
        return {path: value.detach().clone().contiguous()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value) and not _plain(value):
        return {name: leaf for key, one in value.items() for name, leaf in leaves(one, f"{path}.{key}").items()}
    if isinstance(value, list | tuple) and not _plain(value):
        return {name: leaf for i, one in enumerate(value) for name, leaf in leaves(one, f"{path}.{i}").items()}
    return {path: _normal(value)}


def _plain(value: Any) -> bool:
    """Whether it holds no tensor and nothing that would have to be taken apart."""
    if isinstance(value, Mapping):
        return all(_plain(key) and _plain(one) for key, one in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_plain, value))
    return value is None or isinstance(value, bool | int | float | str | bytes)


def _normal(value: Any) -> Leaf:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return repr(value)
    if isinstance(value, Mapping) and _plain(value):
        # a dict's order is part of what a vocabulary says, a Counter's is not: sorted, they compare as equal
        return sorted(([_normal(key), _normal(one)] for key, one in value.items()), key=repr)
    if isinstance(value, set | frozenset):
        return sorted((_normal(one) for one in value), key=repr)
    if isinstance(value, list | tuple):
        return [_normal(one) for one in value]
    return f"<{type(value).__name__}>"


def equal(mine: Leaf, target: Leaf, tolerance: float = EXACT) -> bool:
    """Whether they are the same up to rounding. NaN is NaN, and an int is no float where tensors are concerned."""
    wrong = apart(mine, target, tolerance)
    return not bool(wrong.any()) if isinstance(wrong, Tensor) else not wrong


def apart(mine: Leaf, target: Leaf, tolerance: float = EXACT) -> Tensor | bool:
    """Where they differ: a tensor of bool if both are tensors of one shape, else whether they differ at all."""
    if isinstance(mine, Tensor) and mine.dim() == 0 and isinstance(target, int | float):
        mine = mine.item()
    if isinstance(target, Tensor) and target.dim() == 0 and isinstance(mine, int | float):
        target = target.item()
    if isinstance(mine, Tensor) and isinstance(target, Tensor):
        if mine.shape != target.shape or kind(mine) != kind(target):
            return True
        if not target.is_floating_point():
            return mine != target
        mine, target = mine.double(), target.double()
        finite = target[target.isfinite()]
        size = float(finite.abs().max()) if finite.numel() else 1.0
        same = (mine - target).abs() <= tolerance * (size or 1.0)
        return ~(same | (mine == target) | (mine.isnan() & target.isnan()))
    if isinstance(mine, int | float) and isinstance(target, int | float):
        both_nan = math.isnan(mine) and math.isnan(target)
        return not (both_nan or mine == target or abs(mine - target) <= tolerance * max(abs(target), 1e-300))
    return type(mine) is not type(target) or bool(mine != target)


def kind(tensor: Tensor) -> str:
    """ "bool", "integer" or "float"."""
    if tensor.dtype is torch.bool:
        return "bool"
    return "float" if tensor.is_floating_point() else "integer"


def same(mine: Leaves, target: Leaves, tolerance: float = EXACT) -> bool:
    """Whether two results are equal in all leaves."""
    return mine.keys() == target.keys() and all(equal(mine[path], target[path], tolerance) for path in target)


def gap(mine: Leaves, target: Leaves) -> float:
    """How far apart two results are, relative to the target; infinite where they cannot be subtracted."""
    if mine.keys() != target.keys():
        return math.inf
    worst = 0.0
    for path, leaf in target.items():
        other = mine[path]
        if equal(other, leaf, 0.0):
            continue
        if not (isinstance(leaf, Tensor) and isinstance(other, Tensor) and leaf.shape == other.shape):
            return math.inf
        if not (kind(leaf) == kind(other) == "float"):
            return math.inf
        difference = (other.double() - leaf.double()).abs()
        if not bool(difference.isfinite().all()):
            return math.inf
        worst = max(worst, float(difference.max()) / (float(leaf.double().abs().max()) or 1.0))
    return worst


def pack(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """A tree of leaves as JSON; its tensors go to `tensors`, and their names stand in their places."""
    if isinstance(tree, Tensor):
        tensors[f"t{len(tensors)}"] = tree
        return {"tensor": f"t{len(tensors) - 1}"}
    if isinstance(tree, Mapping):
        return {key: pack(one, tensors) for key, one in tree.items()}
    return tree


def unpack(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """What `pack` took apart."""
    if isinstance(tree, dict):
        if tree.keys() == {"tensor"}:
            return tensors[tree["tensor"]]
        return {key: unpack(one, tensors) for key, one in tree.items()}
    return tree
