"""The lessons and their exercises, as lesson.toml lists them: the only list there is."""

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firsthand.errors import UserError, suggest

PACKAGE = Path(__file__).parents[1]
RUNGS = 4
"""A question, a traced tiny input, pseudocode, and where to look."""


@dataclass(frozen=True)
class Exercise:
    """One graded unit. `entry`: the names that `file` must define. `solution`: the shipped file, under src/firsthand.

    `slot`: the setting of a run that a passed part may fill, or None. `hints`: by mutant, then property, then
    "default"; four rungs each.
    """

    id: str
    lesson: int
    folder: Path
    file: str
    entry: tuple[str, ...]
    solution: str
    slot: str | None
    minutes: int
    difficulty: int
    hints: Mapping[str, tuple[str, ...]]
    questions: tuple[str, ...]

    @property
    def stub(self) -> Path:
        """What a learner begins with."""
        return self.folder / "stubs" / self.file

    @property
    def shipped(self) -> Path:
        """The file that is the solution."""
        return PACKAGE / self.solution


@dataclass(frozen=True)
class Lesson:
    """`budget`: seconds of its own runs on two cores, quick and long. `breaks`: slips worth training with, and what
    to ask before."""

    number: int
    slug: str
    title: str
    idea: str
    folder: Path
    needs: tuple[int, ...]
    budget: Mapping[str, int]
    milestone: str | None
    breaks: Mapping[str, Mapping[str, Any]]
    exercises: tuple[Exercise, ...]

    @property
    def script(self) -> Path:
        """The page, as a script of percent cells."""
        return self.folder / "lesson.py"


def home() -> Path:
    """Where the lessons lie: in the wheel, or beside src in a checkout."""
    packed = PACKAGE / "lessons"
    return packed if packed.is_dir() else PACKAGE.parents[1] / "lessons"


@functools.cache
def lessons(folder: Path | None = None) -> tuple[Lesson, ...]:
    """All lessons, by number."""
    return tuple(sorted((read(path) for path in (folder or home()).glob("*/lesson.toml")), key=lambda one: one.number))


def exercises() -> tuple[Exercise, ...]:
    """All exercises, in teaching order."""
    return tuple(exercise for lesson in lessons() for exercise in lesson.exercises)


def exercise(name: str) -> Exercise:
    """The exercise called `name`. UserError with the nearest names if there is none."""
    known = {one.id: one for one in exercises()}
    if name not in known:
        raise UserError(f"There is no exercise {name!r}. {suggest(name, known)}")
    return known[name]


def lesson(number: int) -> Lesson:
    """The lesson of that number. UserError if there is none."""
    known = {one.number: one for one in lessons()}
    if number not in known:
        raise UserError(f"There is no lesson {number}. There are: {', '.join(map(str, known))}.")
    return known[number]


def read(path: Path) -> Lesson:
    """One lesson.toml. UserError naming the file and what it lacks."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        found = [_exercise(row, table["number"], path.parent) for row in table["exercise"]]
        return Lesson(
            number=table["number"],
            slug=path.parent.name,
            title=table["title"],
            idea=table["idea"],
            folder=path.parent,
            needs=tuple(table["needs"]),
            budget=table["budget"],
            milestone=table.get("milestone"),
            breaks=table.get("break", {}),
            exercises=tuple(found),
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no lesson: {type(error).__name__}: {error}.") from error


def _exercise(row: dict[str, Any], number: int, folder: Path) -> Exercise:
    hints = {name: tuple(rungs) for name, rungs in row["hints"].items()}
    for name, rungs in hints.items():
        if len(rungs) != RUNGS:
            raise UserError(
                f"{folder / 'lesson.toml'}: {row['id']}: the hints for {name} have {len(rungs)} rungs of 4."
            )
    return Exercise(
        id=row["id"],
        lesson=number,
        folder=folder,
        file=row["file"],
        entry=tuple(row["entry"]),
        solution=row["solution"],
        slot=row.get("slot"),
        minutes=row["minutes"],
        difficulty=row["difficulty"],
        hints=hints,
        questions=tuple(row.get("questions", ())),
    )
