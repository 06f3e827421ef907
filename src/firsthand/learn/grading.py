"""From a file to a noted verdict: the grader, the workspace's record of it, and the headline."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from firsthand.learn.manifest import Exercise
from firsthand.learn.verdict import Verdict
from firsthand.learn.workspace import Workspace, sha256_of

Judge: TypeAlias = Callable[[Exercise, Path, int], Verdict]
"""(exercise, file, seed) -> what the grader says."""

SIGNS = {"passed": "✓", "failed": "✗", "not started": "○", "error": "!"}


def cold(exercise: Exercise, file: Path, seed: int) -> Verdict:
    """The grader in a process of its own, begun for this one check."""
    from firsthand.learn.grader.check import check

    return check(exercise, file, seed)


def judged(workspace: Workspace, exercise: Exercise, seed: int = 0, judge: Judge | None = None) -> Verdict:
    """Grade the learner's file and note the outcome. A missing file is "not started", and says how to get the stub."""
    file = workspace.file(exercise)
    if not file.is_file():
        missing = f"{exercise.file} is not in {workspace.path}."
        back = f"Bring the stub: firsthand learn goto {exercise.lesson}"
        return Verdict(exercise.id, "not started", stage="import", what=missing, next=back)
    before = sha256_of(file)
    verdict = (judge or cold)(exercise, file, seed)
    # saved again while it was checked: what passed is not what is there now, so it counts for nothing in a run
    after = sha256_of(file) if file.is_file() else None
    workspace.checked(exercise, verdict, before if before == after else None)
    return verdict


def headline(verdict: Verdict) -> str:
    """One line: the sign, the exercise, and the name of the slip or what does not hold."""
    words = {"passed": "passed", "not started": "not started", "error": "the grader could not say"}
    about = verdict.mutant or verdict.property or verdict.stage
    if verdict.mutant and "say" in verdict.evidence:
        about = f"{verdict.mutant}: {verdict.evidence['say']}"
    said = words.get(verdict.status, about or "failed")
    return f"{SIGNS[verdict.status]} {verdict.exercise}   {said}   ({verdict.seconds:.1f} s)"
