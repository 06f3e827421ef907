"""Single keys from a terminal, without Enter; nothing where standard input is no terminal."""

import sys
import time
from types import TracebackType
from typing import Any


class Keys:
    """A context manager; leaves the terminal as it was. `pressed(seconds)` waits so long for a key."""

    def __init__(self) -> None:
        self._terminal = sys.stdin.isatty()
        self._before: list[Any] | None = None

    def __enter__(self) -> "Keys":
        if self._terminal and sys.platform != "win32":
            import termios
            import tty

            self._before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None and sys.platform != "win32":
            import termios

            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def pressed(self, seconds: float) -> str | None:
        """The key that was pressed within that time, or None."""
        if not self._terminal:
            time.sleep(seconds)
            return None
        if sys.platform == "win32":
            return _windows(seconds)
        import select

        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        return sys.stdin.read(1) or "q" if ready else None


def _windows(seconds: float) -> str | None:
    import importlib

    console: Any = importlib.import_module("msvcrt")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if console.kbhit():
            return str(console.getwch())
        time.sleep(0.02)
    return None
