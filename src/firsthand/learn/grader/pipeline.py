"""One check, from the file to the verdict; it runs in the worker."""

import ast
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from firsthand.contracts.finding import Broken
from firsthand.learn.grader.checks import Checks, load
from firsthand.learn.grader.entry import NotStarted, learners
from firsthand.learn.grader.fingerprint import named, named_pair
from firsthand.learn.grader.leaves import Leaves
from firsthand.learn.grader.message import picture
from firsthand.learn.grader.mutate import Mutant, mutants
from firsthand.learn.grader.prepare import Prepared, seeds_of
from firsthand.learn.grader.profile import FINGERPRINT_SEED, Failure, Profile, profile
from firsthand.learn.grader.subject import Subject, key
from firsthand.learn.manifest import Exercise
from firsthand.learn.verdict import Verdict

HINT = "(firsthand learn hint)"


def grade(exercise: Exercise, file: Path, seed: int, prepared: Prepared, tell: Callable[[str], None]) -> Verdict:
    """The verdict on a file. `tell` hears what is being tried, so that a process that dies can say where it was."""
    checks = load(exercise)
    tell("import")
    try:
        parts = learners(exercise, file)
        subject = Subject(checks, parts, file, prepared.answers, seeds_of(seed))
        found = profile(subject, tell)
    except NotStarted as hole:
        return not_started(exercise, str(hole))
    except Broken as error:
        return Verdict(
            exercise.id, "failed", "import", "import", None, error.what, error.why, error.todo, {"where": error.where}
        )
    tell("fingerprint")
    notes = (*_warnings(found), *_borrowed(checks, exercise, file))
    known = mutants(exercise)
    right = right_outputs(checks, prepared.answers)
    name = named(found, right, prepared.mutants, known, checks.edges) if found.failed or found.warned else None
    if not found.failed:
        if name is not None:
            notes = (f"{name}: {known[name].say}.", *notes)
        return Verdict(exercise.id, "passed", "", None, name, "Everything that is checked holds.", notes=notes)
    if name is None and prepared.pairs:
        name = named_pair(found, right, prepared.mutants, prepared.pairs, checks.edges)
    return _failed(exercise, checks, found, name, known, right, notes)


def right_outputs(checks: Checks, answers: Mapping[str, Leaves]) -> dict[str, Leaves]:
    """The shipped part's outputs on what slips are compared by; empty if they are for other seeds."""
    keys = {case: key(case, FINGERPRINT_SEED, torch.float64) for case in checks.cases}
    return {case: answers[one] for case, one in keys.items() if one in answers}


def not_started(exercise: Exercise, why: str) -> Verdict:
    """A hole is still there."""
    return Verdict(
        exercise.id,
        "not started",
        "import",
        what=why,
        why="Nothing is checked before there is something to check.",
        next=f"Open {exercise.file}, read the docstring, and write the body. {HINT}",
    )


def _failed(
    exercise: Exercise,
    checks: Checks,
    found: Profile,
    name: str | None,
    known: Mapping[str, Mutant],
    right: Mapping[str, Leaves],
    notes: tuple[str, ...],
) -> Verdict:
    first = found.failures[0]
    evidence: dict[str, Any] = {"failed": list(found.failed), "where": first.where}
    why, todo = first.why, first.next
    if name is not None:
        slips = [known[one] for one in name.split(" + ")]
        evidence["say"] = ", and ".join(slip.say for slip in slips)
        if first.raised or any(slip.symptom for slip in slips):  # there may be no digits, or right ones
            why = f"Your code fails exactly as {_slips(slips)} does. {first.why}"
        else:
            why = f"Your output equals {_slips(slips)}, digit for digit. {first.why}"
        todo = " ".join(slip.next for slip in slips if slip.next) or first.next
    if first.printed:
        evidence["heard"] = first.printed
    drawn = picture(checks, found.outputs, right)
    if drawn is not None:
        evidence["picture"] = drawn.as_json()
    return Verdict(
        exercise.id,
        "failed",
        first.stage,
        first.property,
        name,
        first.what,
        why,
        f"{todo} {HINT}",
        evidence,
        notes,
        "" if drawn is None else drawn.text(),
    )


def _slips(slips: list[Mutant]) -> str:
    names = " and ".join(slip.name for slip in slips)
    return f"the known slip {names}" if len(slips) == 1 else f"two known slips at once, {names}"


def _warnings(found: Profile) -> tuple[str, ...]:
    def words(one: Failure) -> str:
        return f"{one.what} {one.why} {one.next}"

    return tuple(map(words, found.warnings))


def _borrowed(checks: Checks, exercise: Exercise, file: Path) -> tuple[str, ...]:
    """A note if the file calls what does the exercise's work for it."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    borrowed = [name for name in checks.borrowed if name in used]
    home = exercise.solution.removesuffix(".py").replace("/", ".")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.removeprefix("firsthand.") == home:
            borrowed += [alias.name for alias in node.names if alias.name in exercise.entry]
    return (f"It calls {' and '.join(borrowed)}, which does the work for you.",) if borrowed else ()
