"""What numbers must be: finite, scaled rightly, equal by two ways, distributed as they should."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from firsthand.contracts.finding import Broken
from firsthand.learn.grader.checks import Inputs, Parts, Property
from firsthand.learn.grader.leaves import EXACT, apart, leaves
from firsthand.learn.grader.properties.words import at, factor_name, names_of, number, pattern
from firsthand.learn.grader.subject import Subject


def finite(why: str = "One number that is no number spreads to all others at the next step of training.") -> Property:
    """No case gives inf or nan."""

    def test(subject: Subject) -> None:
        for case in subject.checks.cases:
            for path, leaf in subject.leaves(subject.inputs(case)).items():
                if isinstance(leaf, Tensor) and leaf.is_floating_point() and not bool(leaf.isfinite().all()):
                    bad = ~leaf.isfinite()
                    names = names_of(subject.checks.axes.get(path, ""), leaf.dim())
                    first = bad.nonzero()[0].tolist()
                    raise Broken(
                        f"In the case {case!r} your output at {at(first, names)} is {float(leaf[tuple(first)])}.",
                        why,
                        "Follow the numbers of that place: what is divided by zero, or too large for exp?",
                    )

    return Property("finite", test)


def holds(
    name: str,
    test: Callable[[Inputs, Any], Tensor | bool],
    what: str,
    why: str,
    todo: str,
    case: str = "",
    changed: Callable[[Inputs], Inputs] | None = None,
) -> Property:
    """`test(inputs, output)` is True (everywhere, if it is a tensor). `what` may use {where}, the first that breaks it.

    `changed`: makes the inputs of this property of those of the case.
    """

    def look(subject: Subject) -> None:
        inputs = subject.inputs(case)
        inputs = changed(inputs) if changed else inputs
        kept = test(inputs, subject.ask(inputs))
        if bool(kept.all()) if isinstance(kept, Tensor) else kept:
            return
        where = ""
        if isinstance(kept, Tensor) and kept.dim():
            axes = subject.checks.axes.get("out", "").split()[: kept.dim()]
            where = at((~kept).nonzero()[0].tolist(), axes if len(axes) == kept.dim() else names_of("", kept.dim()))
        raise Broken(what.format(where=where), why, todo)

    return Property(name, look)


def constant_factor(
    read: Callable[[Subject], tuple[Tensor, Tensor]], of: str, why: str, todo: str, name: str = "constant_factor"
) -> Property:
    """`read` returns a quantity as it is and as it should be; they may not differ by a factor, which is named if known.

    Where they differ in any other way this property says nothing.
    """

    def test(subject: Subject) -> None:
        mine, wanted = (one.double().flatten() for one in read(subject))
        if mine.shape != wanted.shape or not bool(mine.isfinite().all()):
            return
        # least squares through the origin, so that numbers near zero cannot spoil it
        ratio = float(mine @ wanted / (wanted @ wanted))
        rest = float((mine - ratio * wanted).abs().max() / wanted.abs().max())
        if rest > 1e-6 * max(abs(ratio), 1.0) or abs(ratio - 1) < 1e-6 or ratio == 0:
            return
        equals = factor_name(ratio, subject.checks.sizes(subject.inputs()))
        raise Broken(
            f"Your {of} are {number(ratio)} times what they should be{equals and f', which is {equals}'}.", why, todo
        )

    return Property(name, test)


def start_value(
    name: str, read: Callable[[Parts], float], expected: float, within: float, what: str, why: str, todo: str
) -> Property:
    """A number that is known before anything is learnt: ln(vocab_size), ln 2, 0, 1."""

    def test(subject: Subject) -> None:
        found = subject.within(read)
        if not abs(found - expected) <= within:
            raise Broken(
                f"{what} is {number(found)}, and should be {number(expected)} (within {number(within)}).", why, todo
            )

    return Property(name, test)


def parity(
    name: str,
    one: Callable[..., Any],
    other: Callable[..., Any],
    what: str,
    why: str,
    todo: str,
    axis: str = "",
    case: str = "",
    tolerance: float = EXACT,
) -> Property:
    """Two ways to the same: `one(parts, **inputs)` and `other(parts, **inputs)` give equal results.

    `axis`: along which the first difference is named (needs the axes of "out").
    """

    def test(subject: Subject) -> None:
        results = [leaves(subject.within(partial(_way, way, subject.inputs(case)))) for way in (one, other)]
        for path in dict.fromkeys([*results[0], *results[1]]):  # in the order in which they come back
            wrong = apart(results[0].get(path), results[1].get(path), tolerance)
            if not (bool(wrong.any()) if isinstance(wrong, Tensor) else wrong):
                continue
            where = ""
            if isinstance(wrong, Tensor) and wrong.dim():
                names = names_of(subject.checks.axes.get(path, ""), wrong.dim())
                if axis in names:
                    place = names.index(axis)
                    others = [i for i in range(wrong.dim()) if i != place]
                    hit = (wrong.any(dim=others) if others else wrong).nonzero().flatten().tolist()
                    where = f" from {axis} {hit[0]} on" if hit[-1] == wrong.shape[place] - 1 else f" at {axis} {hit[0]}"
                else:
                    where = f" ({pattern(wrong, names)})"
            raise Broken(f"{what} differ{where}.", why, todo)

    return Property(name, test)


def _way(way: Callable[..., Any], inputs: Inputs, parts: Parts) -> Any:
    return way(parts, **inputs)


def distribution(
    name: str, draw: Callable[[Parts, torch.Generator], Tensor], expected: list[float], why: str, todo: str
) -> Property:
    """`draw(parts, generator)` returns many outcomes 0, 1, ...; their shares are `expected`, by a chi-square test at
    p < 1e-6 with a fixed seed. What is expected never must never come."""

    def test(subject: Subject) -> None:
        outcomes = subject.within(lambda parts: draw(parts, torch.Generator().manual_seed(0))).flatten().long()
        counts = torch.bincount(outcomes, minlength=len(expected)).double()
        wanted = torch.tensor(expected, dtype=torch.float64) * outcomes.numel()
        possible = wanted > 0
        never = bool((counts[: len(expected)][~possible] > 0).any()) or len(counts) > len(expected)
        degrees = int(possible.sum()) - 1
        square = float(((counts[: len(expected)] - wanted)[possible] ** 2 / wanted[possible]).sum())
        if never or square > _quantile(degrees):
            shares = [number(float(count / outcomes.numel())) for count in counts]
            raise Broken(
                f"Of {outcomes.numel()} draws the shares are {', '.join(shares)}; "
                f"{', '.join(map(number, expected))} were expected.",
                why,
                todo,
            )

    return Property(name, test)


def _quantile(degrees: int) -> float:
    """What a chi-square of so many degrees exceeds once in a million times (Wilson and Hilferty 1931)."""
    if degrees < 1:
        return 0.0
    spread = 2 / (9 * degrees)
    return float(degrees * (1 - spread + 4.7534 * math.sqrt(spread)) ** 3)
