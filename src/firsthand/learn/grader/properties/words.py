"""Numbers, lists and places in words."""

from collections.abc import Sequence

import torch
from torch import Tensor


def number(value: float) -> str:
    """Three digits, as one would say them."""
    return f"{value:.3g}"


def listed(values: Sequence[int]) -> str:
    """ "3", "3 and 4", "3..6", "0, 2 and 5"."""
    values = sorted(values)
    if len(values) > 2 and values == list(range(values[0], values[-1] + 1)):
        return f"{values[0]}..{values[-1]}"
    words = [str(value) for value in values]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def names_of(axes: str, dimensions: int) -> list[str]:
    """The names of a tensor's axes, or "axis 0", "axis 1" if nobody gave any."""
    names = axes.split()
    return names if len(names) == dimensions else [f"axis {i}" for i in range(dimensions)]


def at(index: Sequence[int], names: Sequence[str]) -> str:
    """ "batch 0, heads 1"."""
    return ", ".join(_place(name, str(i)) for name, i in zip(names, index, strict=True)) or "the only number"


def _place(name: str, where: str) -> str:
    return f"place {where} of {name}" if name.startswith("axis ") else f"{name} {where}"


def pattern(wrong: Tensor, names: Sequence[str]) -> str:
    """Along which axes the wrong places are few: "only at query 0"; "everywhere" if along none."""
    parts = []
    for axis, name in enumerate(names):
        others = [i for i in range(wrong.dim()) if i != axis]
        hit = wrong.any(dim=others) if others else wrong
        where = hit.nonzero().flatten().tolist()
        if 0 < len(where) < wrong.shape[axis]:
            parts.append(_place(name, listed(where)))
    return f"only at {', '.join(parts)}" if parts else "everywhere"


def moved(before: Tensor, after: Tensor, axis: int) -> Tensor:
    """Along one axis: by how much the largest of the numbers there moved. NaN and new shapes count as infinite."""
    if before.shape != after.shape:
        return torch.full((before.shape[axis],), torch.inf)
    if not before.is_floating_point():
        change = (before != after).double()
    else:
        change = (after.double() - before.double()).abs()
        change[(before == after) | (before.isnan() & after.isnan())] = 0.0
        change[change.isnan()] = torch.inf
    others = [i for i in range(change.dim()) if i != axis]
    return change.amax(dim=others) if others else change


def factor_name(value: float, sizes: dict[str, int], tolerance: float = 1e-6) -> str:
    """What a ratio equals: "sqrt(d_head)", "1 / temperature^2"; empty if nothing known."""
    for name, size in sizes.items():
        if size < 2:
            continue
        for power, word in ((0.5, f"sqrt({name})"), (1.0, name), (2.0, f"{name}^2"), (1.5, f"{name}^1.5")):
            for sign, text in ((1, word), (-1, f"1 / {word}")):
                if abs(value / size ** (sign * power) - 1) < tolerance:
                    return text
    return ""
