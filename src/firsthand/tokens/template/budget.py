"""How much a template may do: time, characters and loops are counted, and nothing may grow without end."""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jinja2 import Undefined
from jinja2.exceptions import SecurityError

SECONDS = 0.5
"""Of the thread's CPU time, for one rendering."""
WORK = 1 << 26
"""Units of work: a character written is one, and so is, at each turn of a loop, each character of the template."""
SIZE = 1 << 21
"""Characters of a string; an element of a list counts as ELEMENT of them."""
ELEMENT = 64


class Budget:
    """What is left to one rendering of a template with `length` characters. SecurityError once it is spent."""

    def __init__(self, length: int = 0) -> None:
        self._turn = length + 1
        self._left = WORK
        self._end = time.thread_time() + SECONDS

    def spend(self, units: int) -> None:
        self._left -= units
        if self._left < 0 or time.thread_time() > self._end:
            raise SecurityError(f"it takes more than {SECONDS} seconds, or writes or repeats too much")

    def turn(self) -> None:
        """One turn of a loop, or one call."""
        self.spend(self._turn)

    def each(self, values: Iterable[Any]) -> Iterator[Any]:
        """`values`, each of them counted as a turn of a loop."""
        for value in values:
            self.turn()
            yield value


def check_size(size: int) -> None:
    """SecurityError if a string of so many characters would be too long."""
    if size > SIZE:
        raise SecurityError(f"it makes a text or list of more than {SIZE} characters")


def weigh(value: Any) -> int:
    """The characters and elements in `value`, to any depth. SecurityError for too many, or for what is no data."""
    total, waiting = 0, [value]
    while waiting:
        part = waiting.pop()
        total += ELEMENT
        if isinstance(part, str):
            total += len(part)
        elif isinstance(part, Mapping):
            waiting += [*part.keys(), *part.values()]
        elif isinstance(part, list | tuple | range):
            check_size(total + ELEMENT * len(part))
            waiting += part
        elif isinstance(part, int) and not isinstance(part, bool):
            if part.bit_length() > 256:
                raise SecurityError("it makes a number of more than 256 bits")
        elif part is not None and not isinstance(part, bool | float | Undefined):
            raise SecurityError(f"it uses a {type(part).__name__} as if it were text")
        check_size(total)
    return total
