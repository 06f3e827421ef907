"""The learner's folder my_llm/: their modules, their log, and in .learn/ what they have done."""

import hashlib
import json
import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from firsthand.errors import UserError
from firsthand.learn import manifest, stubs
from firsthand.learn.history import History
from firsthand.learn.log import HEADING, Log
from firsthand.learn.manifest import Exercise, Lesson
from firsthand.learn.state import State, of_json, replayed
from firsthand.learn.verdict import Verdict
from firsthand.learn.welcome import AGENTS, SETTINGS

NAME = "my_llm"
HIDDEN = ".learn"


class Settings(BaseModel):
    """learn.toml. `threads`: of the runs that `firsthand learn` starts. `editor`: how it says to open a file."""

    model_config = ConfigDict(extra="forbid")

    threads: int | None = Field(None, gt=0)
    editor: str | None = None


def now() -> datetime:
    """The time, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Workspace:
    """`path`: the folder. `clock` says what time it is."""

    path: Path
    clock: Callable[[], datetime] = now
    notes: list[str] = field(default_factory=list)
    """What had to be put right while reading, for the learner to be told."""

    @property
    def state_file(self) -> Path:
        return self.path / HIDDEN / "state.json"

    @property
    def history(self) -> History:
        return History(self.path / HIDDEN / "history.jsonl")

    @property
    def log(self) -> Log:
        return Log(self.path / "LOG.md")

    def file(self, exercise: Exercise) -> Path:
        """Where the learner writes this exercise."""
        return self.path / exercise.file

    def settings(self) -> Settings:
        """learn.toml; the defaults where it is missing. UserError that says what is wrong in it."""
        path = self.path / "learn.toml"
        try:
            return Settings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {})
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path} is not valid TOML: {error}.") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise UserError(
                f"{path}: {where}: {first['msg']}. It may set {', '.join(Settings.model_fields)}."
            ) from error

    def state(self) -> State:
        """What has been done. A damaged state.json is kept under another name and made again from the history."""
        with self._lock():
            return self._state()

    def record(self, what: str, **more: Any) -> State:
        """Note that something happened, in the history and in the state; the state after it."""
        with self._lock():
            event = {"at": self.clock().isoformat(), "what": what, **more}
            state = self._state().after(event)
            self.history.add(event)
            self._save(state)
        return state

    def checked(self, exercise: Exercise, verdict: Verdict, sha256: str | None) -> State:
        """Note what a check found; the first pass of an exercise gets an entry in the log."""
        before = self.state().of(exercise.id)
        more = {"property": verdict.property, "mutant": verdict.mutant, "stage": verdict.stage}
        state = self.record(
            "check", exercise=exercise.id, status=verdict.status, sha256=sha256, seconds=verdict.seconds, **more
        )
        after = state.of(exercise.id)
        if after.passed_at and not before.passed_at:
            tries = f"{after.attempts} check{'s' * (after.attempts != 1)}"
            helped = f", {after.hints} hint{'s' * (after.hints != 1)}" if after.hints else ""
            given = ", after reading the solution" if after.gave_up else ""
            minutes = max(1, round(after.seconds / 60))
            work = f"about {minutes} minute{'s' * (minutes != 1)} of work"
            body = f"`{exercise.file}` holds. {tries}{helped}{given}; {work}."
            self.log.add(self.clock(), f"passed {exercise.id}", body)
        return state

    def visit(self, lesson: Lesson, exercise: Exercise | None = None) -> list[Path]:
        """Go to a lesson, or to one of its exercises: its stubs arrive, if they are not there yet. New files."""
        new = [self.file(one) for one in lesson.exercises if stubs.bring(one, self.file(one))]
        if lesson.exercises:
            self.record("visit", exercise=(exercise or lesson.exercises[0]).id)
        return list(dict.fromkeys(new))

    def here(self) -> Exercise:
        """The exercise that the learner is at: where they went last, else the first that has not passed."""
        state, every = self.state(), manifest.exercises()
        if not every:
            raise UserError("This installation has no lessons. Install it again: the package brings them along.")
        known = {one.id: one for one in every}
        waiting = [one for one in every if not state.of(one.id).passed]
        return known.get(state.here or "") or (waiting or [every[-1]])[0]

    def _lock(self) -> FileLock:
        return FileLock(self.path / HIDDEN / "lock", timeout=10)

    def _state(self) -> State:
        if not self.state_file.exists():
            return replayed(self.history.events())
        try:
            return of_json(json.loads(self.state_file.read_bytes()))
        except (ValueError, RecursionError):
            kept = self.state_file.with_name(f"state.damaged-{self.clock():%Y%m%dT%H%M%S}.json")
            self.state_file.replace(kept)
            state = replayed(self.history.events())
            self._save(state)
            self.notes.append(
                f"{self.state_file} was damaged. It has been made again from history.jsonl; the old one is {kept.name}."
            )
            return state

    def _save(self, state: State) -> None:
        write_whole(self.state_file, json.dumps(state.as_json(), indent=1, ensure_ascii=False) + "\n")


def write_whole(path: Path, text: str) -> None:
    """The file, whole or not at all: a full disk or a power cut leaves the old one."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def sha256_of(path: Path) -> str:
    """Of the file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def start(path: Path) -> Workspace:
    """Make a workspace in `path`. One that is there is kept; UserError if the folder is somebody's other work."""
    if path.is_file():
        raise UserError(f"{path} is a file. Name a folder that may be made: firsthand learn start {NAME}")
    if path.is_dir() and not (path / HIDDEN).is_dir() and any(path.iterdir()):
        raise UserError(
            f"{path} holds other files and is no workspace. Name a new folder, so that nothing there is disturbed: "
            f"firsthand learn start {path / NAME}"
        )
    (path / HIDDEN).mkdir(parents=True, exist_ok=True)
    for name, text in {"learn.toml": SETTINGS, "AGENTS.md": AGENTS, "LOG.md": HEADING}.items():
        if not (path / name).exists():
            (path / name).write_text(text, encoding="utf-8")
    return Workspace(path)


def find(given: Path | None = None, at: Path | None = None) -> Workspace:
    """The workspace `given`, else the one that `at` (the current folder) is, holds as my_llm/, or lies in.

    UserError if there is none.
    """
    here = (at or Path.cwd()).absolute()
    places = [given] if given else [here, here / NAME, *here.parents]
    for place in places:
        if (place / HIDDEN).is_dir():
            return Workspace(_near(place))
    if given:
        raise UserError(
            f"{given} is not a workspace: it has no folder {HIDDEN}. Make one: firsthand learn start {given}"
        )
    raise UserError(
        "There is no workspace here. Make one with `firsthand learn start`, or go to the folder that holds yours "
        f"({NAME}/), or name it: firsthand learn check --workspace DIR"
    )


def _near(path: Path) -> Path:
    """From the current folder, if it is in there: so a command that is shown can be repeated, and a folder moved."""
    near = Path(os.path.relpath(path))
    return path if ".." in near.parts else near
