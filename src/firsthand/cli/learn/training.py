"""firsthand learn milestone, run, break: the real pipeline, with parts that are yours, or with one that is wrong."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firsthand.cli.learn.common import Where, opened, say
from firsthand.cli.output import Json, console, emit

if TYPE_CHECKING:
    from firsthand.learn.milestones import Milestone
    from firsthand.learn.mine import Mine
    from firsthand.learn.workspace import Workspace

Long = Annotated[bool, typer.Option("--long", help="Four times the steps.")]
LONGER = 4
STEPS = 500
"""Of recipes/learn.yaml."""


def milestone(
    name: Annotated[str, typer.Argument(metavar="M", help="M1 to M5, M7")],
    settings: Annotated[list[str] | None, typer.Argument(help="overrides, as of firsthand train")] = None,
    beside: Annotated[bool, typer.Option("--beside/--alone", help="Train the shipped parts too, and compare.")] = True,
    dry: Annotated[bool, typer.Option("--dry", help="Print the command, and train nothing.")] = False,
    long: Long = False,
    where: Where = None,
    json: Json = False,
) -> None:
    """Print and run the training that your parts have grown up to."""
    from firsthand.learn import milestones

    workspace = opened(where)
    goal = milestones.milestone(name)
    if not goal.trains:
        from firsthand.cli.learn.smaller import smaller

        told = smaller(workspace, goal, settings or [], beside, dry, long, json)
        if json:
            emit(told)
        return
    parts, words = _plan(workspace, goal, settings or [], long)
    typed = shlex.join(["firsthand", "train", goal.recipe, *goal.settings, *parts.overrides, *words, "--fresh"])
    if not json:
        say(f"{goal.name}: {goal.title}", f"  {typed}")
    if dry:
        if json:
            emit({"milestone": goal.name, "command": typed, "mine": parts.as_json()})
        return
    from firsthand.cli.train import train_mine

    summary = train_mine(goal.recipe, words, parts, False, True, beside, json, goal.settings)
    _note(workspace, goal, parts, summary, typed)
    if json:
        emit({"milestone": goal.name, "command": typed} | summary)
    else:
        now = shlex.join([*shlex.split(goal.then.format(run=Path(summary["run"]).name)), *parts.of_the_model])
        say("", f"Noted in {workspace.log.path}. Now: {now}")


def run(
    what: Annotated[
        str | None, typer.Argument(metavar="LESSON", help="Its number, or a milestone; absent: the lesson you are at.")
    ] = None,
    long: Long = False,
    where: Where = None,
    json: Json = False,
) -> None:
    """The runs of a lesson, with your parts: its page is run as the script that it is. M2 and so on: a milestone."""
    import os
    import subprocess

    from firsthand.errors import UserError
    from firsthand.learn import manifest

    if what and what[0] in "Mm":
        return milestone(what, long=long, where=where, json=json)
    if what and not what.isdecimal():
        raise UserError(f"{what!r} is neither a lesson's number nor a milestone, such as M2.")
    workspace = opened(where)
    lesson = manifest.lesson(int(what) if what else workspace.here().lesson)
    there = os.environ | {
        "FIRSTHAND_LEARN_LONG": "1" if long else "",
        "PYTHONPATH": os.pathsep.join([str(workspace.path.absolute()), os.environ.get("PYTHONPATH", "")]).rstrip(
            os.pathsep
        ),
    }
    ended = subprocess.run(
        [sys.executable, str(lesson.script.absolute())],
        check=False,
        cwd=workspace.path,
        env=there,
        stdout=sys.stderr.fileno() if json else None,
    )
    if json:
        emit({"lesson": lesson.number, "exit_code": ended.returncode})
    raise typer.Exit(1 if ended.returncode else 0)


def break_(
    exercise: Annotated[str | None, typer.Argument(metavar="EXERCISE")] = None,
    mutant: Annotated[
        str | None,
        typer.Argument(metavar="SLIP", help="A slip of this exercise, by its name; absent: which there are."),
    ] = None,
    prediction: Annotated[str | None, typer.Option(help="same, worse, better or nan; absent: you are asked.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Of each of the two runs; absent: the lesson's.")] = None,
    where: Where = None,
    json: Json = False,
) -> None:
    """Say what you expect, train with one known slip beside the right code, and see."""
    from firsthand.cli.learn.breaking import experiment, show
    from firsthand.errors import UserError
    from firsthand.learn.breaks import which

    if exercise is None or mutant is None:
        raise UserError(which(exercise))
    workspace = opened(where)
    told = experiment(workspace, exercise, mutant, prediction, steps, json)
    if json:
        emit(told)
    else:
        show(told)


def _plan(workspace: "Workspace", goal: "Milestone", settings: list[str], long: bool) -> "tuple[Mine, list[str]]":
    """The parts that enter and the settings of the run."""
    from dataclasses import replace

    from firsthand import config
    from firsthand.cli.train import find_recipe
    from firsthand.errors import UserError
    from firsthand.learn.milestones import MILESTONES
    from firsthand.learn.mine import built_from, collect

    tuning, built = any(word.startswith("adapt.") for word in goal.settings), dict[str, str]()
    words = [f"run.name={goal.run}"]
    threads = workspace.settings().threads
    words += [f"train.threads={threads}"] if threads else []
    words += [f"train.steps={LONGER * STEPS}"] if long else []
    if goal.after:
        before = Path("runs") / MILESTONES[goal.after].run
        if not (before / "config.yaml").is_file():
            raise UserError(
                f"{goal.name} goes on with the model of {goal.after}: firsthand learn milestone {goal.after}"
            )
        # a trained model cannot change its parts: only those that it was built from are named again
        built = built_from(config.load(before / "config.yaml"))
        words.append(f"model.weights={before}")
    parts = collect(workspace, goal.lesson, tuning, built)
    if goal.after:
        fits = tuple(part for part in parts.parts if not part.setting.startswith("model.") or part.setting in built)
        parts = replace(parts, parts=fits)
    words += settings
    return parts.fitting(config.load(find_recipe(goal.recipe), [*goal.settings, *words])), words


def _note(workspace: "Workspace", goal: "Milestone", parts: "Mine", summary: dict[str, Any], typed: str) -> None:
    """The milestone in the state, and its curve in the log."""
    from firsthand.experiments.curve import curve
    from firsthand.experiments.metrics import Metrics
    from firsthand.learn.log import table

    loss = summary.get("validation_loss")
    said = f"{parts.banner}; validation loss {loss:.3f}" if loss is not None else parts.banner
    workspace.record("milestone", milestone=goal.name, said=said, run=summary["run"], parts=parts.as_json()["parts"])
    losses = Metrics.read(Path(summary["run"]) / "metrics.jsonl").series("loss")[1]
    body = [f"{said}. {summary['steps']} steps, {summary['seconds']:.0f} s.", f"`{typed}`"]
    body.append("```text\n" + "\n".join(curve(losses.tolist(), 72, 8)) + "\n```")
    if told := summary.get("beside"):
        rows = [
            (name, _number(row["validation_loss"], ".4f"), _number(row["tokens_per_second"], ",.0f"))
            for name, row in told["rows"].items()
        ]
        body.append(table([("", "validation loss", "tokens/s"), *rows]))
    workspace.log.add(workspace.clock(), f"milestone {goal.name}: {goal.title}", "\n\n".join(body))
    if summary.get("validation_loss") is not None:
        console(json=True).print(said, markup=False, soft_wrap=True)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
