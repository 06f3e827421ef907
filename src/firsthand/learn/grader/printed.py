"""What an exercise prints while it is checked: kept, so that a failure can show what was printed on the way to it."""

import io
import sys
from typing import TextIO

MOST = 100_000
"""Characters that are kept and passed on; a loop without an end would fill the disk."""
LINES = 8
"""How many of them a terminal shows, from the end."""


class Heard(io.TextIOBase):
    """In place of sys.stdout: passes on at once what is written, so that it is there when the process is stopped."""

    def __init__(self, out: TextIO) -> None:
        self.out, self.kept = out, ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        rest = text[: MOST - len(self.kept)]
        if rest:
            self.kept += rest
            self.out.write(rest)
            self.out.flush()
        return len(text)


def so_far() -> int:
    """How much has been printed; a place for `since`."""
    return len(sys.stdout.kept) if isinstance(sys.stdout, Heard) else 0


def since(start: int) -> str:
    """What has been printed from there on."""
    return sys.stdout.kept[start:] if isinstance(sys.stdout, Heard) else ""


def shown(text: str) -> list[str]:
    """The last lines of it, and a word on those before."""
    lines = text.rstrip().splitlines()
    before = [f"... ({len(lines) - LINES} lines before)"] if len(lines) > LINES else []
    return [*before, *(line[:200] for line in lines[-LINES:])]
