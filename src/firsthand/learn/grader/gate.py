"""The quality gate: what an exercise has to prove before learners see it."""

import importlib
import math
import re
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

from firsthand.contracts.finding import Broken
from firsthand.errors import UserError
from firsthand.learn.grader.check import Grader, in_worker
from firsthand.learn.grader.checks import load
from firsthand.learn.grader.entry import compare_signatures, module_name, shipped
from firsthand.learn.grader.fingerprint import alike, named, shows
from firsthand.learn.grader.leaves import EXACT, gap
from firsthand.learn.grader.mutate import Mutant, edited, mutants
from firsthand.learn.grader.pipeline import right_outputs
from firsthand.learn.grader.prepare import Prepared, prepare, runs, seeds_of
from firsthand.learn.grader.prepare import read as prepared
from firsthand.learn.grader.profile import FINGERPRINT_SEED, all_properties, answers, profile
from firsthand.learn.grader.subject import Subject
from firsthand.learn.manifest import Exercise

MUTANTS, ALTERNATIVES, SEEDS = 8, 3, (0, 100, 200)
APART = 100 * EXACT
PATIENCE = 3.0


def gate(exercise: Exercise) -> list[str]:
    """What is wrong with an exercise, in words; nothing if learners may see it."""
    try:
        known = mutants(exercise)
        load(exercise)
        problems = _files(exercise) + _edits(exercise, known)
    except UserError as error:
        return [str(error)]
    return problems or [*in_worker(exercise, "judge"), *_graded(exercise, known)]


def judge(exercise: Exercise) -> list[str]:
    """The part of the gate that runs the shipped part and its slips; it belongs into a process of its own."""
    prepare(exercise, 0)
    return _solution(exercise) + _slips(exercise, mutants(exercise), prepared(exercise, 0))


def _files(exercise: Exercise) -> list[str]:
    lesson = exercise.folder
    wanted = [lesson / "lesson.py", lesson / "checks.py", exercise.stub, exercise.shipped]
    problems = [f"there is no {path.name} at {path}" for path in wanted if not path.is_file()]
    if len(alternatives(exercise)) < ALTERNATIVES:
        problems.append(f"correct/ holds {len(alternatives(exercise))} other right answers; {ALTERNATIVES} are wanted")
    if "default" not in exercise.hints:
        problems.append("there are no default hints")
    if not exercise.questions:
        problems.append("there are no questions to explain")
    unknown = set(exercise.hints) - {"default"} - set(mutants(exercise)) - _names(exercise)
    if unknown:
        problems.append(f"these hints belong to no slip and no property: {', '.join(sorted(unknown))}")
    return problems


def _names(exercise: Exercise) -> set[str]:
    return {one.name for one in all_properties(load(exercise))} | {"timeout", "crash", "import"}


def alternatives(exercise: Exercise) -> list[Path]:
    """The lesson's other right answers that hold the names of this exercise."""
    found = []
    for path in sorted((exercise.folder / "correct").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if all(re.search(rf"^(?:def|class) {name}\b", text, re.MULTILINE) for name in exercise.entry):
            found.append(path)
    return found


def _edits(exercise: Exercise, known: dict[str, Mutant]) -> list[str]:
    problems = [] if len(known) >= MUTANTS else [f"mutants.toml lists {len(known)} slips; {MUTANTS} are wanted"]
    for one in known.values():
        try:
            edited(one.edits, exercise)
        except (UserError, OSError) as error:
            problems.append(f"{one.name}: {error}")
    return problems


def _solution(exercise: Exercise) -> list[str]:
    """The shipped part keeps its own signature, and holds for three seeds in both precisions."""
    problems = []
    checks, parts = load(exercise), shipped(exercise)
    try:
        compare_signatures(exercise, importlib.import_module(module_name(exercise.solution)), None)
    except Broken as error:
        problems.append(f"the shipped part has another signature than the stub: {error.what}")
    for seed in SEEDS:
        right = answers(Subject(checks, parts), (FINGERPRINT_SEED, *seeds_of(seed)))
        found = profile(Subject(checks, parts, target=right, seeds=seeds_of(seed)))
        problems += [f"the shipped part breaks {one.property}: {one.what}" for one in found.failures]
    return problems


def _slips(exercise: Exercise, known: dict[str, Mutant], ready: Prepared) -> list[str]:
    """Every slip is headlined by its own name, is far enough from right, and differs from every other."""
    checks, problems = load(exercise), []
    right = right_outputs(checks, ready.answers)
    for name, slip in ready.mutants.items():
        symptom = known[name].symptom
        if not slip.failed and not shows(symptom, slip):
            problems.append(f"{name} breaks nothing")
        if symptom is not None and not shows(symptom, slip):
            problems.append(f"{name} does not show its symptom {symptom}: it breaks {', '.join(slip.failed)}")
        near = max((gap(slip.outputs[case], right[case]) for case in right), default=math.inf)
        if near < APART and symptom is None:
            problems.append(f"{name} differs from right by {near:.1g} only, and declares no symptom")
        found = named(slip, right, ready.mutants, known, checks.edges)
        if found != name:
            problems.append(f"{name} is headlined as {found}, and breaks {', '.join(slip.failed)}")
    for (one, a), (other, b) in combinations(ready.mutants.items(), 2):
        if a.failed == b.failed and a.warned == b.warned and alike(a.outputs, b.outputs):
            problems.append(f"{one} and {other} cannot be told apart")
    return problems


def _graded(exercise: Exercise, known: dict[str, Mutant]) -> list[str]:
    """As a learner would: the stub, the other right answers, and slips that never end, with the answer blocked."""
    blocked, problems = [module_name(exercise.solution)], []
    with Grader(exercise) as grader, TemporaryDirectory() as folder:
        verdict = grader.check(exercise, exercise.stub, blocked=blocked)
        if verdict.status != "not started":
            problems.append(f"the stub is {verdict.status}: {verdict.what}")
        for path in alternatives(exercise):
            verdict = grader.check(exercise, path, blocked=blocked)
            if verdict.status != "passed":
                problems.append(f"{path.name} is right, and {verdict.status}: {verdict.property}: {verdict.what}")
        for one in known.values():
            if not runs(one):
                file = Path(folder, exercise.file)
                file.write_text(next(iter(edited(one.edits, exercise).values())), encoding="utf-8")
                verdict = grader.check(exercise, file, timeout=PATIENCE)
                if verdict.mutant != one.name:
                    problems.append(f"{one.name} should never end, and is {verdict.status}: {verdict.what}")
    return problems
