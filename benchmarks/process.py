"""What a process has held in memory; without torch, so that asking costs nothing."""

import resource
import sys
from pathlib import Path


def peak_kilobytes() -> int:
    """The most that this process has held at once, in kB.

    On Linux VmHWM: `ru_maxrss` is handed down to a child and keeps what its parent held (getrusage(2), execve).
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most // 1024 if sys.platform == "darwin" else most
