"""What a check says: three lines about a broken promise, and where in the part's own file."""

from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb


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


def line_in(error: BaseException, file: str | Path | None) -> str:
    """The last line of `file` that the error came through, as "file.py:12"; empty if it never was there."""
    if file is None:
        return ""
    path = Path(file).resolve()
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if Path(frame.filename).resolve() == path]
    return f"{path.name}:{lines[-1]}" if lines else ""


def raised(error: Exception, file: str | Path | None) -> Broken:
    """An exception in the part's code, as a broken promise."""
    words = " ".join(str(error).split())
    message = f"{type(error).__name__}: {words[:400]}{' …' * (len(words) > 400)}"
    return Broken(
        f"It raised {message.rstrip(': ')}.",
        "A part that raises here would end a run in the same way.",
        "Put the line right; firsthand check … --debug shows the whole way there.",
        line_in(error, file),
    )
