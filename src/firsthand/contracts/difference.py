"""Where two tensors differ and by how much, in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor

from firsthand.contracts.finding import Broken

ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-4}
"""How far two ways to compute the same may lie apart, for outputs of about 1. Checks compute in fp64."""
AXES = ("batch", "time", "d_model")
PLACES = ("first", "second", "last")


@dataclass(frozen=True)
class Difference:
    row: int
    token: int
    amount: float


def difference(found: Tensor, expected: Tensor) -> Difference | None:
    """The first token, and the first row there, whose vectors differ by more than rounding; None if none does.

    Both are (batch, time, d_model). NaN differs from everything.
    """
    same_shape("the output", found, expected.shape)
    found, expected = found.detach(), expected.detach()
    dtype = found.dtype if found.dtype in ROUNDING else torch.float32
    allowed = ROUNDING[dtype] * max(1.0, float(expected.abs().amax())) if expected.numel() else 0.0
    apart = (found.double() - expected.double()).abs().amax(-1)
    wrong = ~(apart <= allowed)
    if not wrong.any():
        return None
    token, row = wrong.t().nonzero()[0].tolist()
    return Difference(row, token, float(apart[row, token]))


def same_shape(what: str, found: Tensor, expected: Sequence[int], names: Sequence[str] = AXES) -> None:
    """Broken, in words, unless `found` has the expected shape. Axes are told apart by their lengths."""
    if tuple(found.shape) != tuple(expected):
        raise Broken(
            f"{what[0].upper()}{what[1:]} {_mismatch(tuple(found.shape), tuple(expected), names)}.",
            "What comes next adds it to a tensor of that shape, or reads it token by token.",
            f"Return ({', '.join(names)}), here {tuple(expected)}.",
        )


def _mismatch(found: tuple[int, ...], expected: tuple[int, ...], names: Sequence[str]) -> str:
    for order in permutations(range(len(expected))):
        if found == tuple(expected[place] for place in order):
            moved = [place for place, axis in enumerate(order) if place != axis]
            shape = ", ".join(names[axis] for axis in order)
            return f"is ({shape}): {_swapped(moved, len(expected))}"
    if len(found) < len(expected):
        missing = [name for name, length in zip(names, expected, strict=True) if length not in found]
        return f"has {len(found)} axes, {found}: {' and '.join(missing) or 'an axis'} is missing"
    if len(found) > len(expected):
        return f"has {len(found)} axes, {found}, and should have {len(expected)}"
    wrong = [
        f"axis {place} ({names[place]}) is {is_} long instead of {should}"
        for place, (is_, should) in enumerate(zip(found, expected, strict=True))
        if is_ != should
    ]
    return f"is {found}: {', '.join(wrong)}"


def _swapped(moved: list[int], axes: int) -> str:
    if len(moved) != 2:
        return "its axes are in another order"
    if moved == [axes - 2, axes - 1]:
        return "the last two axes are swapped"
    if moved == [0, 1]:
        return "the first two axes are swapped"
    return "the first and the last axis are swapped" if moved == [0, axes - 1] else f"axes {moved} are swapped"


def tiny(amount: float) -> str:
    """A hint, if the difference looks like single precision."""
    return " A difference this small is fp32's: keep the state in the dtype of fp64 inputs." if amount < 1e-5 else ""


def many(number: int, noun: str) -> str:
    """ "1 token", "2 tokens"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
