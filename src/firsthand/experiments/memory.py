"""The most memory that a piece of work held at once, one piece after another in one process."""

import ctypes
import gc
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import torch

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class PeakMemory:
    """Measures while it is open; `bytes` afterwards.

    On CUDA: the most that torch had allocated. Elsewhere: the most that the whole process had in memory, Python and
    torch included, which only Linux can count anew for each piece of work; on other systems `bytes` stays None.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.bytes: int | None = None

    def __enter__(self) -> "PeakMemory":
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self._device)
            return self
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)  # what earlier work has freed goes back to the system
        self._counting = _restart()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self._device)
        elif self._counting:
            line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
            self.bytes = int(line.split()[1]) * 1024


def _restart() -> bool:
    """Let the kernel forget the process's highest mark (proc(5), clear_refs); False where it cannot."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True
