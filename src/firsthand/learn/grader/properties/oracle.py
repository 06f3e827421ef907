"""Shapes, and the comparison with the shipped part's answers, which another process has computed."""

from typing import Any

import torch
from torch import Tensor

from firsthand.contracts.difference import same_shape
from firsthand.contracts.finding import Broken
from firsthand.learn.grader.checks import Property
from firsthand.learn.grader.leaves import EXACT, SINGLE, Leaf, Leaves, apart, kind
from firsthand.learn.grader.properties.words import at, factor_name, names_of, number, pattern
from firsthand.learn.grader.subject import Raised, Subject, key, tensor


def shapes() -> Property:
    """It runs, and what comes back has the shapes that the lesson names."""

    def test(subject: Subject) -> None:
        inputs = subject.inputs()
        sizes = subject.checks.sizes(inputs)
        found = subject.leaves(inputs)
        target = subject.target.get(key(subject.checks.usual, subject.seeds[0], torch.float64), {})
        for path, axes in subject.checks.axes.items():
            if path.split(".")[0] == "out" and (path in target or not target):
                made = tensor(found, path)
                _same_kind(path, made, target.get(path))
                same_shape(_called(path), made, [sizes[axis] for axis in axes.split()], axes.split())
        if found.keys() != target.keys():
            raise Broken(
                f"What came back is {_described(found)}, and should be {_described(target)}.",
                "What calls it takes apart what it gets.",
                "Look at the return statement.",
            )

    return Property("shapes", test, "shapes")


def _called(path: str) -> str:
    return "the output" if path == "out" else f"the output's {path.removeprefix('out.')}"


def _described(found: Leaves) -> str:
    words = {path: f"a tensor {tuple(leaf.shape)}" if isinstance(leaf, Tensor) else "" for path, leaf in found.items()}
    return "; ".join(f"{path}: {word or type(found[path]).__name__}" for path, word in words.items()) or "nothing"


def _same_kind(path: str, found: Tensor, target: Leaf) -> None:
    if isinstance(target, Tensor) and kind(found) != kind(target):
        raise Broken(
            f"{_called(path).capitalize()} holds {kind(found)} numbers ({found.dtype}), and {kind(target)} are wanted "
            f"({target.dtype}).".replace("bool numbers", "bools"),
            "What comes next depends on it: bools say yes or no, integers look rows up, floats are added.",
            f"Return a tensor of {str(target.dtype).removeprefix('torch.')}.",
        )


def reference(tolerance: float = EXACT) -> Property:
    """In fp64 it gives what the shipped part gives, in every case, for every seed."""
    return Property("reference", lambda subject: _compare(subject, torch.float64, tolerance), "reference")


def single_precision(tolerance: float = SINGLE) -> Property:
    """In fp32 too."""
    return Property("single_precision", lambda subject: _compare(subject, torch.float32, tolerance), "reference")


def _compare(subject: Subject, dtype: torch.dtype, tolerance: float) -> None:
    for case, seed, precision in subject.checks.trials(subject.seeds):
        target = subject.target.get(key(case, seed, precision))
        if precision is not dtype or target is None:  # without floating-point inputs there is but one precision
            continue
        inputs = subject.inputs(case, seed, dtype)
        found = raising(subject, inputs) if "raised" in target else _leaves(subject, case, inputs)
        for path in sorted(found.keys() | target.keys()):
            mine, wanted = found.get(path), target.get(path)
            wrong = apart(mine, wanted, tolerance)
            if wrong.any() if isinstance(wrong, Tensor) else wrong:
                found_wrong = _difference(subject, case, path, mine, wanted, wrong, inputs)
                floats = isinstance(mine, Tensor) and mine.is_floating_point() and not bool(mine.isnan().any())
                if dtype is torch.float32 and floats:
                    found_wrong.why += " In fp64 it was right, so the way of computing loses digits."
                raise found_wrong


def _leaves(subject: Subject, case: str, inputs: dict[str, Any]) -> Leaves:
    try:
        return subject.leaves(inputs)
    except Raised as error:
        if case == subject.checks.usual:
            raise
        raise error.with_more(f"The case: {case}.") from error.__cause__


def raising(subject: Subject, inputs: dict[str, Any]) -> Leaves:
    """The answer, where raising is one too."""
    try:
        return subject.leaves(inputs)
    except Broken as error:
        return {"raised": getattr(error, "kind", "") or type(error).__name__}


def _difference(
    subject: Subject, case: str, path: str, mine: Leaf, wanted: Leaf, wrong: Tensor | bool, inputs: dict[str, Any]
) -> Broken:
    named = "" if case == subject.checks.usual else f" (the case: {case})"
    why = "The shipped part, computed in another process, gives something else for the same inputs."
    todo = "Take the smallest input of this kind, compute it on paper, and print each step beside it."
    if not (isinstance(mine, Tensor) and isinstance(wanted, Tensor) and isinstance(wrong, Tensor)):
        part = "" if path == "out" or "." not in path else f" {path.removeprefix('out.')}"
        what = f"For {_short(inputs)} your{part or 's'} is {_short(mine)}, and {_short(wanted)} is right{named}."
        return Broken(what, why, todo)
    names = names_of(subject.checks.axes.get(path, ""), wanted.dim())
    first = wrong.nonzero()[0].tolist() if wrong.dim() else []
    index = tuple(first)
    place = at(first, names)
    one, other = _values(mine[index], wanted[index])
    what = f"Your output at {place} is {one}, and {other} is right{named}."
    share = f" {int(wrong.sum())} of {wrong.numel()} numbers are wrong, {pattern(wrong, names)}."
    ratio = _ratio(mine, wanted)
    if ratio is not None:
        equals = factor_name(ratio, subject.checks.sizes(inputs))
        share += f" Everything is {number(ratio)} times too large{equals and f', which is {equals}'}."
    return Broken(what + share, why, todo)


def _ratio(mine: Tensor, wanted: Tensor) -> float | None:
    """The factor between two tensors, if it is one and the same everywhere."""
    if not wanted.is_floating_point() or mine.dim() == 0 or wanted.numel() < 3:
        return None
    large = wanted.abs() > 1e-3 * wanted.abs().max()
    factors = (mine.double() / wanted.double())[large]
    if factors.numel() < 3 or not bool(factors.isfinite().all()):
        return None
    first = float(factors[0])
    same = bool(((factors - first).abs() <= 1e-5 * abs(first)).all())
    return first if same and first != 0 and abs(first - 1) > 1e-5 else None


def _values(mine: Tensor, wanted: Tensor) -> tuple[str, str]:
    """Both with as many digits as it takes to tell them apart."""
    if not mine.is_floating_point():
        return str(mine.item()), str(wanted.item())
    for digits in (3, 5, 7, 9):
        pair = f"{float(mine):.{digits}g}", f"{float(wanted):.{digits}g}"
        if pair[0] != pair[1]:
            break
    return pair


def _short(value: Any) -> str:
    if isinstance(value, dict):
        shown = ", ".join(f"{name}={_short(one)}" for name, one in value.items() if not isinstance(one, Tensor))
        return shown or "random tensors"
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:150]} ..."
