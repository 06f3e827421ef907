"""All checks of a slot, one after another; what one finds does not stop the next."""

from collections.abc import Iterator, Mapping

from firsthand.contracts import ffn, mixer, norm, position
from firsthand.contracts.finding import RAISED, Broken, Finding, raised
from firsthand.contracts.part import Check, Part
from firsthand.errors import UserError, line_in

BATTERIES: Mapping[str, Mapping[str, Check]] = {
    "mixer": mixer.CHECKS,
    "ffn": ffn.CHECKS,
    "position": position.CHECKS,
    "norm": norm.CHECKS,
}


def run(part: Part) -> Iterator[Finding]:
    """A finding for every check of the part's slot, as they come. UserError if there is no such part or argument."""
    _slip(part)
    first: dict[str, str] = {}
    for name in BATTERIES[part.slot]:
        finding = judge(part, name)
        before = first.setdefault(finding.what + finding.where, name)
        if finding.what.startswith(RAISED) and before != name:
            finding = Finding(name, finding.promise, False, f"Not reached: the error of `{before}` comes first.")
        yield finding


def _slip(part: Part) -> None:
    """Raise what is wrong with the spec rather than with the part."""
    try:
        part.make()
    except UserError as error:
        if not line_in(error, part.file):
            raise
    except Exception:
        return  # what the part raises is a finding


def judge(part: Part, name: str) -> Finding:
    """What one check finds. Whatever the part raises is a finding too; its traceback goes with it."""
    broken = broken_by(part, name)
    promise = promise_of(BATTERIES[part.slot][name])
    if broken is None:
        return Finding(name, promise)
    return Finding(name, promise, False, broken.what, broken.why, broken.todo, broken.where, broken.__cause__)


def broken_by(part: Part, name: str) -> Broken | None:
    """The promise that the part breaks in this check."""
    file = part.file  # a part that does not exist is the user's slip, not a finding
    try:
        BATTERIES[part.slot][name](part)
    except Broken as broken:
        return broken
    except Exception as error:
        told = raised(error, file)
        told.__cause__ = error
        return told
    return None


def promise_of(check: Check) -> str:
    """The first line of a check's docstring: what the part promises."""
    assert check.__doc__, "every check says what it is that a part promises"
    return check.__doc__.splitlines()[0]
