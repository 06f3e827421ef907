"""Break experiments: say what you expect of a known slip, train with it, and compare."""

import math
from pathlib import Path
from typing import Any

from firsthand.errors import UserError, suggest
from firsthand.learn import manifest
from firsthand.learn.manifest import Exercise
from firsthand.learn.mine import ELSEWHERE, SETTINGS

OUTCOMES = {
    "same": "the validation loss ends about where the right code ends",
    "worse": "the validation loss ends higher",
    "better": "the validation loss ends lower",
    "nan": "the loss is no number, or the run fails",
}
APART = ELSEWHERE | {"tokenizer.merges": "other merges make other tokens, whose losses cannot be set beside each other"}
TRAINED = {slot: one for slot, one in SETTINGS.items() if slot != "tokenizer.merges"}
"""The settings in which a slip can be trained, by slot."""
STEPS = 400
CLOSE = 0.03
"""Nats a token: two seeds of these short runs differ by about as much."""
QUICK = (
    "model.n_layers=2",
    "model.d_model=64",
    "model.n_heads=2",
    "model.d_ff=256",
    "model.context_length=32",
    "data.batch_tokens=1024",
    "train.evaluate_tokens=8192",
)
SOURCE = '''"""{exercise} with the slip {mutant}, for one run."""

from firsthand.learn.grader.mutate import applied, mutants
from firsthand.learn.manifest import exercise

_exercise = exercise("{exercise}")
with applied(mutants(_exercise)["{mutant}"], _exercise) as _parts:
    {name} = _parts.{name}
'''


def which(exercise: str | None) -> str:
    """What to type, for one who has not said which slip: the lessons' own experiments, or all slips of an exercise."""
    from firsthand.learn.grader.mutate import mutants

    if exercise is not None:
        known = mutants(manifest.exercise(exercise))
        return f"Which slip of {exercise}? firsthand learn break {exercise} SLIP. Slips: {', '.join(sorted(known))}."
    pairs = (
        f"firsthand learn break {one.id} {slip}"
        for lesson in manifest.lessons()
        for slip in lesson.breaks
        for one in lesson.exercises
        if one.slot in TRAINED and slip in mutants(one)
    )
    return "Which slip of which exercise? The lessons try these:\n" + "\n".join(pairs)


def question(exercise: Exercise, mutant: str) -> str:
    """What to ask before the run: the lesson's own question, where it has one."""
    asked = manifest.lesson(exercise.lesson).breaks.get(mutant, {}).get("ask")
    return str(asked or f"What will the loss do with `{mutant}` in {exercise.id}?")


def steps_of(exercise: Exercise, mutant: str) -> int:
    """How long both runs are: as the lesson says (`steps`), since some slips take time to show."""
    return int(manifest.lesson(exercise.lesson).breaks.get(mutant, {}).get("steps", STEPS))


def setting(exercise: Exercise) -> str:
    """The setting of a run that takes the exercise's part. UserError where no run does."""
    if exercise.slot in TRAINED:
        return TRAINED[exercise.slot]
    why = f": {APART[exercise.slot]}" if exercise.slot in APART else ", so it cannot be trained with a slip"
    possible = [one.id for one in manifest.exercises() if one.slot in TRAINED]
    raise UserError(f"No setting of a run takes the part of {exercise.id} alone{why}. {suggest(exercise.id, possible)}")


def write_part(exercise: Exercise, mutant: str, folder: Path) -> str:
    """A file with the slip in it, as file.py:Name. UserError for a slip that the exercise does not have."""
    from firsthand.learn.grader.mutate import mutants

    known = mutants(exercise)
    if mutant not in known:
        raise UserError(f"{exercise.id} has no slip {mutant!r}. {suggest(mutant, known)}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{exercise.id}_{mutant}.py"
    name = exercise.entry[-1]
    path.write_text(SOURCE.format(exercise=exercise.id, mutant=mutant, name=name), encoding="utf-8")
    return f"{path}:{name}"


def outcome(broken: float | None, right: float) -> str:
    """Which of OUTCOMES came: from the last validation losses in nats a token. `broken`: None if the run failed."""
    if broken is None or not math.isfinite(broken):
        return "nan"
    if abs(broken - right) <= CLOSE:
        return "same"
    return "worse" if broken > right else "better"


def entry(told: dict[str, Any]) -> str:
    """The experiment as the log has it."""
    from firsthand.learn.log import table

    rows = [(name, _loss(row["train_loss"]), _loss(row["validation_loss"])) for name, row in told["rows"].items()]
    said = "as predicted" if told["prediction"] == told["outcome"] else "not as predicted"
    parts = [
        f"> {told['question']}",
        f"I expected: **{told['prediction']}**. It came: **{told['outcome']}** ({OUTCOMES[told['outcome']]}), {said}.",
        table([("", "training loss", "validation loss"), *rows]),
        *(f"{name} writes:\n\n```text\n{text}\n```" for name, text in told["samples"].items() if text),
    ]
    return "\n\n".join(parts)


def _loss(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
