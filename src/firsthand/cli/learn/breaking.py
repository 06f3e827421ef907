"""The two runs of a break experiment, and what is said before and after them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firsthand.cli.learn.common import grid, say
from firsthand.cli.output import console
from firsthand.cli.train import find_recipe

if TYPE_CHECKING:
    from firsthand.learn.workspace import Workspace

SAMPLE = 400
"""Characters of a sample that are kept."""


def experiment(
    workspace: "Workspace", name: str, mutant: str, prediction: str | None, length: int | None, json: bool
) -> dict[str, Any]:
    """Ask, train both, compare, note. UserError for a slip or prediction that does not exist."""
    from firsthand.errors import UserError, suggest
    from firsthand.learn import breaks
    from firsthand.learn.manifest import exercise as named

    exercise = named(name)
    setting = breaks.setting(exercise)
    asked, steps = breaks.question(exercise, mutant), length or breaks.steps_of(exercise, mutant)
    home = Path("runs") / f"break-{exercise.id}"
    spec = breaks.write_part(exercise, mutant, home)
    expected = prediction or _ask(asked, json)
    if expected not in breaks.OUTCOMES:
        raise UserError(f"{expected!r} is no prediction. {suggest(expected, breaks.OUTCOMES)}")
    right = _train(home / f"right-{steps}", [], steps, json, keep=True)
    broken = _train(home / mutant, [f"{setting}={spec}"], steps, json)
    told: dict[str, Any] = {
        "exercise": exercise.id,
        "mutant": mutant,
        "question": asked,
        "prediction": expected,
        "outcome": breaks.outcome(broken["validation_loss"], right["validation_loss"]),
        "rows": {mutant: broken, "right": right},
        "samples": {mutant: _sample(home / mutant), "right": _sample(home / f"right-{steps}")},
    }
    workspace.record(
        "prediction", exercise=exercise.id, mutant=mutant, prediction=expected, outcome=told["outcome"], steps=steps
    )
    workspace.log.add(workspace.clock(), f"broke {exercise.id} with {mutant}", breaks.entry(told))
    return told | {"log": str(workspace.log.path)}


def show(told: dict[str, Any]) -> None:
    """What came, beside what was expected."""
    from firsthand.learn.breaks import OUTCOMES

    rows = [
        (name, _number(row["train_loss"]), _number(row["validation_loss"]), row.get("error", ""))
        for name, row in told["rows"].items()
    ]
    grid(rows, ("", "training", "validation", ""), right=(1, 2))
    for name, text in told["samples"].items():
        if text:
            say("", f"{name} writes:", *(f"    {line}" for line in text.splitlines()))
    hit = "as you said" if told["prediction"] == told["outcome"] else f"you expected {told['prediction']}"
    say("", f"{told['outcome']}: {OUTCOMES[told['outcome']]}; {hit}. It is in {told['log']}: write down why.")


def _ask(question: str, json: bool) -> str:
    """The learner's prediction. UserError where nobody can answer."""
    from firsthand.errors import UserError
    from firsthand.learn.breaks import OUTCOMES

    if json:
        raise UserError(f"With --json the prediction is given: --prediction {', '.join(OUTCOMES)}.")
    say(question, *(f"  {name:<8}{words}" for name, words in OUTCOMES.items()))
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip() or "nothing"
    return console().input("I expect: ").strip()


def _train(folder: Path, settings: list[str], steps: int, json: bool, keep: bool = False) -> dict[str, Any]:
    """The last losses of a quick run in `folder`. A run that fails on its own numbers is an answer, too.

    `keep`: a finished run with these settings is not trained again.
    """
    from firsthand import config
    from firsthand.errors import UserError
    from firsthand.experiments.beside import last, reference
    from firsthand.experiments.display import Display
    from firsthand.experiments.run import execute
    from firsthand.learn.breaks import QUICK

    tree = config.load(find_recipe("learn"), [*QUICK, *settings, f"train.steps={steps}", f"run.dir={folder}"])
    with Display(title=folder.name, json=json) as display:
        if keep:
            reference(tree, display)
            return last(folder)
        try:
            execute(tree, fresh=folder.exists(), show=display)
        except UserError as error:
            return {"train_loss": None, "validation_loss": None, "error": str(error)}
    return last(folder)


def _sample(folder: Path) -> str:
    """The last text that the run wrote."""
    path = folder / "samples.md"
    blocks = path.read_text(encoding="utf-8").split("```text\n") if path.is_file() else []
    return blocks[-1].split("\n```")[0][:SAMPLE].strip() if len(blocks) > 1 else ""


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
