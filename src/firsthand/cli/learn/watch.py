"""firsthand learn watch: a check whenever a file is saved, and one key for everything else."""

import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firsthand.cli.learn.checks import show
from firsthand.cli.learn.common import Where, opened, say
from firsthand.cli.output import Json, emit

if TYPE_CHECKING:
    from firsthand.learn.grading import Judge
    from firsthand.learn.workspace import Workspace

POLL = 0.25
VERBS = {"n": ("next",), "h": ("hint",), "s": ("solution",), "l": ("list",), "x": ("reset",)}
"""Keys that are verbs of the command line: one way to do a thing, and it is the same everywhere."""
MENU = "r run again · n next · h hint · s solution · l list · c check all · x reset · q quit"


class Session:
    """What happens on a save and on a key. `run` starts a verb; `judge` grades."""

    def __init__(
        self, workspace: "Workspace", judge: "Judge", run: Callable[[tuple[str, ...]], Any], json: bool = False
    ) -> None:
        from firsthand.learn.watching import Watched

        self.workspace, self._judge, self._run, self._json = workspace, judge, run, json
        self._watched = Watched(workspace.path)

    def look(self) -> None:
        """Check what has been saved since the last look."""
        for file in self._watched.changed():
            self.saved(file)

    def saved(self, file: Path) -> None:
        from firsthand.learn.watching import exercise_in

        exercise = exercise_in(self.workspace, file)
        if exercise is not None:
            self._check(exercise.id)

    def press(self, key: str) -> bool:
        """Do what the key says; False to end."""
        from firsthand.learn import manifest

        if key in "q\x03\x04":
            return False
        if key == "r":
            self._check(self.workspace.here().id)
        elif key == "c":
            for exercise in manifest.exercises():
                if self.workspace.file(exercise).exists():
                    self._check(exercise.id, brief=True)
        elif key in VERBS:
            self._run(VERBS[key])
        else:
            say(MENU)
        return True

    def _check(self, name: str, brief: bool = False) -> None:
        from firsthand.learn import grading, manifest

        verdict = grading.judged(self.workspace, manifest.exercise(name), judge=self._judge)
        if self._json:
            emit(verdict.as_json())
            return
        show(verdict, brief)
        if verdict.status == "passed" and not brief:
            say("  n goes on; s shows yours beside the shipped one.")


def watch(where: Where = None, json: Json = False) -> None:
    """Check whenever you save. Keys: r run, n next, h hint, s solution, l list, c check all, x reset, q quit."""
    from firsthand.cli.learn.keys import Keys
    from firsthand.learn.grader.check import Grader

    workspace = opened(where)
    here = workspace.here()
    if not json:
        say(f"Watching {workspace.path}. You are at {here.id}: save {here.file}, and it is checked.", MENU)
    with Grader() as grader, Keys() as keys, contextlib.suppress(KeyboardInterrupt):
        session = Session(workspace, grader.check, _verb(workspace), json)
        loop(session, keys.pressed)


def loop(session: Session, pressed: Callable[[float], str | None]) -> None:
    """Look for saved files and for keys until one of them ends it."""
    while True:
        session.look()
        key = pressed(POLL)
        if key is not None and not session.press(key):
            return


def _verb(workspace: "Workspace") -> Callable[[tuple[str, ...]], Any]:
    """Runs a verb as if it had been typed, so that an error of it does not end the watching."""
    command = [sys.executable, "-m", "firsthand", "learn"]
    where = ["--workspace", str(workspace.path)]
    return lambda words: subprocess.run([*command, *words, *where], check=False, stdin=subprocess.DEVNULL)
