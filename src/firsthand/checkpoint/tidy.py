"""What lies in a folder of checkpoints: finding them, clearing up after a crash, and deleting old ones.

Names: `step-000000123` a checkpoint · `.tmp-…` one that was being written or deleted · `old-step-…` one that is being
replaced by another of the same step · `bad-step-…` one that turned out to be damaged · `latest` the newest one's name.
"""

import contextlib
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from firsthand.checkpoint import files, manifest
from firsthand.errors import DamagedError, UserError

STEP = re.compile(r"step-([0-9]{9})")
PATIENCE = 10.0
"""Seconds to wait for another process that looks after the folder."""


def found(root: Path) -> list[tuple[int, Path]]:
    """(step, folder) of all checkpoints by their names, newest first; nothing of them is read."""
    matches = [match for name in files.names(root) if (match := STEP.fullmatch(name))]
    return [(int(match[1]), root / match[0]) for match in reversed(matches)]


def temporary(root: Path) -> Path:
    return root / f".tmp-{uuid.uuid4().hex}"


@contextlib.contextmanager
def claim(root: Path) -> Iterator[None]:
    """Be the only process that writes to this folder of checkpoints, and clear up what a killed one left behind.

    Taken for the length of a run, or by each `save` for itself. UserError if another process has it.
    """
    files.make_folder(root)
    with files.lock(root, PATIENCE) as mine:
        if not mine:
            raise UserError(
                f"Another process is writing to {root}. Wait for it, stop it, or give this run another run.dir."
            )
        clear_up(root)
        yield


def clear_up(root: Path) -> None:
    """Finish or undo what a killed process was doing. Only for the holder of the lock."""
    for name in files.names(root):
        if name.startswith(".tmp-"):
            files.remove(root / name)
        elif name.startswith("old-") and STEP.fullmatch(name[4:]):
            if files.names(root / name[4:]):
                delete(root / name)
            else:
                files.move(root / name, root / name[4:])


def delete(folder: Path) -> None:
    """Delete a checkpoint; it loses its name first, so that half of one is never taken for a whole."""
    doomed = temporary(folder.parent)
    files.move(folder, doomed)
    files.remove(doomed)


def set_aside(folder: Path, reason: DamagedError, report: Callable[[str], object]) -> None:
    """Rename a damaged checkpoint to bad-step-…, which nothing reads any more, and say why."""
    aside, number = folder.with_name(f"bad-{folder.name}"), 2
    while files.names(aside):
        aside, number = folder.with_name(f"bad-{folder.name}-{number}"), number + 1
    try:
        files.move(folder, aside)
        what = f"It is kept as {aside.name}"
    except OSError as error:
        what = f"It could not be renamed ({error.strerror})"
    report(f"{reason} {what}; looking for an older one.")


def retain(root: Path, newest: Path, keep: int, report: Callable[[str], object]) -> None:
    """Keep `newest` (just saved) and the newest others that verify, `keep` in all; delete what is older than those."""
    kept = 1
    for _, folder in found(root):
        if folder == newest:
            continue
        if kept >= keep:
            delete(folder)
            continue
        try:
            manifest.verify(folder)
            kept += 1
        except DamagedError as reason:
            set_aside(folder, reason, report)
