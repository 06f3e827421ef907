"""What a check says: three lines about a broken promise, and where in the part's own file."""

from dataclasses import dataclass, field
from pathlib import Path

from firsthand.errors import line_in

RAISED = "It raised"


class Broken(AssertionError):
    """A promise that a part does not keep: what happened, why that matters, what to do about it."""

    def __init__(self, what: str, why: str, todo: str, where: str = "") -> None:
        super().__init__("\n".join((what, why, todo)))
        self.what, self.why, self.todo, self.where = what, why, todo, where


@dataclass(frozen=True)
class Finding:
    """What came of one check. `what`, `why`, `todo` and `where` ("file.py:12") are empty if the promise is kept."""

    check: str
    promise: str
    passed: bool = True
    what: str = ""
    why: str = ""
    todo: str = ""
    where: str = ""
    error: BaseException | None = field(default=None, repr=False, compare=False)
    """What the part raised, if it did."""


def raised(error: Exception, file: str | Path | None) -> Broken:
    """An exception in the part's code, as a broken promise."""
    words = " ".join(str(error).split())
    message = f"{type(error).__name__}: {words[:400]}{' …' * (len(words) > 400)}"
    return Broken(
        f"{RAISED} {message.rstrip(': ')}.",
        "A part that raises here would end a run in the same way.",
        "Put the line right; firsthand check … --debug shows the whole way there.",
        line_in(error, file),
    )
