"""Where one can go from here: the next exercise, and what a lesson asks for."""

from typing import Any

from firsthand.learn import manifest
from firsthand.learn.manifest import Exercise, Lesson
from firsthand.learn.state import State


def next_after(exercise: Exercise, state: State) -> Exercise | None:
    """The next exercise that has not passed, in teaching order and round the end; None if all have."""
    every = list(manifest.exercises())
    place = next((index for index, one in enumerate(every) if one.id == exercise.id), -1)
    order = every[place + 1 :] + every[:place]
    return next((one for one in order if not state.of(one.id).passed), None)


def missing_needs(lesson: Lesson, state: State) -> list[Lesson]:
    """Lessons that this one builds on and whose exercises have not all passed. A warning, never a lock."""
    known = {one.number: one for one in manifest.lessons()}
    needed = [known[number] for number in lesson.needs if number in known]
    return [one for one in needed if not all(state.of(exercise.id).passed for exercise in one.exercises)]


def overview(state: State) -> list[dict[str, Any]]:
    """A row for every exercise: what it is and how far the learner has come."""
    return [
        {
            "lesson": lesson.number,
            "title": lesson.title,
            "exercise": exercise.id,
            "file": exercise.file,
            "minutes": exercise.minutes,
            "difficulty": exercise.difficulty,
            **state.of(exercise.id).model_dump(
                include={"status", "attempts", "hints", "gave_up", "seconds", "passed_at"}
            ),
        }
        for lesson in manifest.lessons()
        for exercise in lesson.exercises
    ]
