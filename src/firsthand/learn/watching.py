"""What the learner has saved: modification times, asked for again and again, which works on every system."""

from pathlib import Path

from firsthand.learn import manifest
from firsthand.learn.manifest import Exercise
from firsthand.learn.workspace import Workspace


class Watched:
    """The modules of a folder. Half-written files of editors are no modules, and a file that goes away is no news."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known = self._look()

    def changed(self) -> list[Path]:
        """Those that are new or different since the last call."""
        before, self._known = self._known, self._look()
        return [path for path, seen in self._known.items() if before.get(path) != seen]

    def _look(self) -> dict[Path, tuple[int, int]]:
        found = {}
        for path in sorted(self._folder.glob("*.py")):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # saved by renaming, at this moment
            found[path] = (status.st_mtime_ns, status.st_size)
        return found


def exercise_in(workspace: Workspace, file: Path) -> Exercise | None:
    """The exercise that somebody who saved this file works at: the current one if it is in there, else the first that
    has not passed; None if no exercise is in there."""
    here = workspace.here()
    if here.file == file.name:
        return here
    state = workspace.state()
    inside = [one for one in manifest.exercises() if one.file == file.name]
    waiting = [one for one in inside if not state.of(one.id).passed]
    return next(iter(waiting or inside), None)
