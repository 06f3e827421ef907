"""Runs a program that a model wrote: in a process of its own, with limits and an empty folder. This is no sandbox.

The program can read what you can read, and reach the network. The limits keep accidents small, not malice out.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from firsthand.errors import UserError

MEMORY = 1 << 30
"""Bytes of address space."""
WRITTEN = 1 << 24
"""Bytes of a file, and of what a program prints."""
SHOWN = 2000
"""Characters of the output's end that are kept."""

_LIMITED = """
import resource, runpy, sys
for what, most in (("CPU", int(sys.argv[2])), ("AS", int(sys.argv[3])), ("FSIZE", int(sys.argv[4])), ("CORE", 0)):
    resource.setrlimit(getattr(resource, "RLIMIT_" + what), (most, most))
sys.argv = sys.argv[1:2]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@dataclass(frozen=True)
class Outcome:
    """`passed`: the program ended by itself, in time and without an error. `output`: the end of what it printed."""

    passed: bool
    reason: str
    output: str


def run(program: str, seconds: float | int) -> Outcome:
    """Run Python text with this Python, without its installed packages: exit code 0 is success.

    The environment is empty but for the program's folder, which is deleted afterwards, with all processes of its group.
    UserError on Windows, which has no such limits.
    """
    if os.name == "nt":
        raise UserError("Programs of models are not run on Windows: their time and memory cannot be limited there.")
    with tempfile.TemporaryDirectory(prefix="firsthand-code-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "program.py"
        path.write_text(program, encoding="utf-8", errors="replace")
        output = Path(folder) / "output"
        limits = [str(1 + int(seconds)), str(MEMORY), str(WRITTEN)]
        with output.open("wb") as printed:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", "-c", _LIMITED, str(path), *limits],
                cwd=folder,
                env={"HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                process.wait(seconds)
                reason = "passed" if process.returncode == 0 else f"exit code {process.returncode}"
            except subprocess.TimeoutExpired:
                reason = f"not done after {seconds:g} s"
            finally:
                _end(process)
        said = output.read_bytes().decode("utf-8", "replace")[-SHOWN:] if output.is_file() else ""
    return Outcome(reason == "passed", reason, said)


def block(text: str) -> str:
    """The first fenced block of an answer that talks about its code; else the answer."""
    found = re.search(r"```[^\n]*\n(.*?)(?:```|\Z)", text, re.DOTALL)
    return found[1] if found else text


def _end(process: subprocess.Popen[bytes]) -> None:
    """The whole group: what the program has started ends with it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
