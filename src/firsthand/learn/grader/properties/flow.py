"""Who depends on whom: changes on one side, and what moves on the other."""

from collections.abc import Sequence

import torch
from torch import Tensor

from firsthand.contracts.finding import Broken
from firsthand.learn.grader.checks import Inputs, Property
from firsthand.learn.grader.properties.words import listed, moved, number
from firsthand.learn.grader.subject import Subject

ROUNDING = 1e-10


def perturb_future(change: str | Sequence[str] = "x", axis: str = "time", out: str = "out") -> Property:
    """What stands after place t along `axis` moves nothing at or before t."""
    names = _names(change)

    def test(subject: Subject) -> None:
        inputs = subject.inputs()
        before = subject.out(inputs, out)
        length = _length(subject, inputs, names[0], axis)
        for t in range(length - 1):
            after = subject.out(_changed(subject, inputs, names, axis, slice(t + 1, None)), out)
            movement = moved(before, after, _axis(subject, out, axis))
            leaked = (movement[: t + 1] > ROUNDING).nonzero().flatten().tolist()
            if leaked:
                clean = sorted(set(range(t + 1)) - set(leaked))
                rest = f"; {axis} {listed(clean)} is clean" if clean else ""
                later = listed(range(t + 1, length))
                raise Broken(
                    f"Changing {' and '.join(names)} at {axis} {later} moved your output at {axis} {listed(leaked)} "
                    f"(by up to {number(float(movement[: t + 1].max()))}){rest}.",
                    "Training would read the answer off the input, and generation, which has no future, writes noise.",
                    f"Print which of 4 places each of 4 places may read, and look at row {leaked[0] if t < 4 else 0}.",
                )

    return Property("perturb_future", test)


def past_matters(change: str | Sequence[str] = "x", axis: str = "time", out: str = "out") -> Property:
    """Every output depends on its own place and on every place before it."""
    names = _names(change)

    def test(subject: Subject) -> None:
        inputs = subject.inputs()
        before = subject.out(inputs, out)
        for t in range(_length(subject, inputs, names[0], axis)):
            after = subject.out(_changed(subject, inputs, names, axis, slice(t, t + 1)), out)
            movement = moved(before, after, _axis(subject, out, axis))
            deaf = [i for i in range(t, len(movement)) if not float(movement[i]) > ROUNDING]
            if deaf:
                own = " its own place" if deaf[0] == t else f" what stands {deaf[0] - t} back"
                raise Broken(
                    f"Changing {' and '.join(names)} at {axis} {t} did not move your output at {axis} {listed(deaf)}.",
                    f"An output that does not know{own} cannot use it.",
                    "Print which places each place may read: is the diagonal there, and everything below it?",
                )

    return Property("past_matters", test)


def prefix(cut: str | Sequence[str] = "x", axis: str = "time", out: str = "out") -> Property:
    """The beginning of the inputs gives the beginning of the outputs, however long the rest is."""
    names = _names(cut)

    def test(subject: Subject) -> None:
        inputs = subject.inputs()
        whole = subject.out(inputs, out)
        place = _axis(subject, out, axis)
        for length in range(1, _length(subject, inputs, names[0], axis)):
            shorter = dict(inputs)
            for name in names:
                shorter[name] = inputs[name].narrow(_axis(subject, name, axis), 0, length).clone()
            movement = moved(whole.narrow(place, 0, length), subject.out(shorter, out), place)
            wrong = (movement > ROUNDING).nonzero().flatten().tolist()
            if wrong:
                raise Broken(
                    f"With the first {length} only, your output at {axis} {listed(wrong)} is not what it is among all "
                    f"{whole.shape[place]} (it moves by {number(float(movement.max()))}).",
                    "While text is generated the end is not known, so nothing may depend on it or on the length.",
                    f"Look for the future leaking in, and for a size taken from the length of {axis}.",
                )

    return Property("prefix", test)


def isolation(change: str | Sequence[str], axis: str, out: str = "out", name: str = "") -> Property:
    """What stands at one place along `axis` (batch, heads) moves the output at that place only."""
    names = _names(change)

    def test(subject: Subject) -> None:
        inputs = subject.inputs()
        before = subject.out(inputs, out)
        length = _length(subject, inputs, names[0], axis)
        for i in range(length):
            after = subject.out(_changed(subject, inputs, names, axis, slice(i, i + 1)), out)
            movement = moved(before, after, _axis(subject, out, axis))
            leaked = [j for j in range(length) if j != i and float(movement[j]) > ROUNDING]
            if leaked:
                raise Broken(
                    f"Changing {' and '.join(names)} at {axis} {i} moved your output at {axis} {listed(leaked)} "
                    f"(by up to {number(float(movement.max()))}).",
                    f"Along {axis} the places are strangers: none may know what stands at another.",
                    f"Look for a sum, a softmax or a reshape that runs over {axis}, or mixes its axis with another.",
                )

    return Property(name or f"{axis}_isolation", test)


def permutation(
    change: str | Sequence[str], axis: str, moves: bool = False, out: str = "out", name: str = ""
) -> Property:
    """Another order along `axis` of all of `change` leaves the output as it is, or (`moves`) reorders it likewise."""
    names = _names(change)

    def test(subject: Subject) -> None:
        inputs = subject.inputs()
        before = subject.out(inputs, out)
        other = dict(inputs)
        for one in names:
            other[one] = inputs[one].flip(_axis(subject, one, axis))
        wanted = before.flip(_axis(subject, out, axis)) if moves else before
        change_ = float(moved(wanted, subject.out(other, out), 0).max())
        if change_ > ROUNDING:
            raise Broken(
                f"With {' and '.join(names)} in another order along {axis}, your output "
                f"{'did not follow' if moves else 'changed'} (by up to {number(change_)}).",
                f"Nothing here may depend on the order along {axis}.",
                "Look for a mask, a sum or a reshape that takes the wrong axis.",
            )

    return Property(name or f"{axis}_order", test)


def _names(change: str | Sequence[str]) -> tuple[str, ...]:
    return (change,) if isinstance(change, str) else tuple(change)


def _axis(subject: Subject, name: str, axis: str) -> int:
    return subject.checks.axes[name].split().index(axis)


def _length(subject: Subject, inputs: Inputs, name: str, axis: str) -> int:
    length: int = inputs[name].shape[_axis(subject, name, axis)]
    return length


def _changed(subject: Subject, inputs: Inputs, names: Sequence[str], axis: str, where: slice) -> Inputs:
    """The inputs with other numbers at some places along an axis. Ids are changed to other ids, bools to the other."""
    other = dict(inputs)
    for name in names:
        tensor: Tensor = inputs[name].clone()
        part = tensor[(slice(None),) * _axis(subject, name, axis) + (where,)]
        if tensor.dtype is torch.bool:
            part.copy_(~part)
        elif tensor.is_floating_point():
            generator = torch.Generator().manual_seed(99)
            part.copy_(torch.randn(part.shape, generator=generator, dtype=torch.float64).to(part.dtype))
        else:
            part.copy_((part + 1) % (int(tensor.max()) + 1))
        other[name] = tensor
    return other
