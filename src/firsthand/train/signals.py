"""Being asked to stop. A handler only sets a flag; long loops look at it between two pieces of work."""

import signal
import sys
from types import FrameType, TracebackType
from typing import Any

from firsthand.errors import Stopped

SIGNALS = ("SIGTERM", "SIGINT", "SIGUSR1")


class StopFlag:
    """While this context is open, SIGTERM, SIGINT (Ctrl-C) and SIGUSR1 set `wanted`; a second one leaves at once."""

    def __init__(self) -> None:
        self.wanted = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopFlag":
        for name in SIGNALS:
            number = getattr(signal, name, None)
            if number is not None:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True
        sys.stderr.write("\nStopping after this step; once more to leave at once, without saving.\n")

    def check(self, doing: str) -> None:
        """Leave now if asked to: for work that keeps nothing worth saving."""
        if self.wanted:
            raise Stopped(f"Stopped while {doing}. Run the same command again with --resume.")
