"""firsthand demo: a GPT that writes plays, in a few minutes; and what fine-tuning makes of models."""

from pathlib import Path
from typing import Annotated

import typer

from firsthand.cli.output import Json, console, emit
from firsthand.cli.train import find_recipe


def demo(
    what: Annotated[str, typer.Argument(help="plays; or of fine-tuning: classes, instructions, dialogue.")] = "plays",
    seconds: Annotated[float, typer.Option(min=1, help="How long to train our own GPT on plays.")] = 240.0,
    out: Annotated[Path | None, typer.Option(help="The folder. Absent: runs/demo, or runs/demo-WHAT.")] = None,
    own: Annotated[Path, typer.Option(help="Our own GPT, which is tuned; trained on plays if it is not there.")] = Path(
        "runs/demo"
    ),
    data: Annotated[str | None, typer.Option(help="Your own records, for classes and instructions.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="A model from elsewhere that takes part, tuned with LoRA. May be repeated.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Tune so often, with seeds 0, 1, …")] = 1,
    epochs: Annotated[float | None, typer.Option(help="Go through the records so often. Absent: 2 to 5 times.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted demo.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Move an earlier demo aside and start anew.")] = False,
    json: Json = False,
) -> None:
    """Train a GPT on Shakespeare's plays and set it beside simpler models; or tune models, and see what it gives.

    classes: name the class of a text. instructions: answer. dialogue: our own GPT speaks as a character of the plays.
    """
    from firsthand import config
    from firsthand.cli.demonstrations import NAMES, demonstrate
    from firsthand.errors import UserError, suggest

    if resume and fresh:
        raise UserError("--resume goes on with an earlier demo and --fresh starts anew: give one of them.")
    tuning = {"--data": data, "--model": model, "--epochs": epochs, "--seeds": seeds if seeds > 1 else None}
    foreign = [name for name, value in tuning.items() if value] if what == "plays" else []
    if foreign or (what in NAMES and (resume or fresh)):
        option = foreign[0] if foreign else "--resume" if resume else "--fresh"
        raise UserError(
            f"{option} has no meaning for the demo {what}. "
            + (
                "It belongs to classes, instructions and dialogue."
                if foreign
                else "What is finished is kept; the rest goes on."
            )
        )
    if what in NAMES:
        recipe = config.load(find_recipe("demo"), [f"train.seconds={seconds}", f"run.dir={own}"])
        demonstrate(what, recipe, out or Path(f"runs/demo-{what}"), data, model or [], seeds, epochs, json)
        return
    if what != "plays":
        raise UserError(f"There is no demo {what!r}. {suggest(what, ['plays', *NAMES])}")
    _plays(seconds, out or Path("runs/demo"), resume, fresh, json)


def _plays(seconds: float, out: Path, resume: bool, fresh: bool, json: bool) -> None:
    """A GPT is trained and set beside simpler models."""
    from firsthand import config
    from firsthand.experiments import report
    from firsthand.experiments.demo import next_commands, run_demo
    from firsthand.experiments.display import Display
    from firsthand.experiments.folder import RunFolder

    tree = config.load(find_recipe("demo"), [f"train.seconds={seconds}", f"run.dir={out}"])
    if RunFolder(out).used and not (resume or fresh):
        resume = _go_on(out)
        fresh = not resume
    with Display(title="demo", json=json) as display:
        outcome = run_demo(tree, resume, fresh, display)
    if json:
        emit(outcome)
        return
    terminal = console()
    terminal.print(report.table(outcome["bits_per_byte"]))
    terminal.print(f"Held out, never trained on: {', '.join(outcome['held_out'])}", markup=False)
    terminal.print(report.next_steps(next_commands(out, outcome)))


def _go_on(out: Path) -> bool:
    """Resume an unfinished demo, repeat a finished one; in a terminal the user decides."""
    import sys

    from firsthand.experiments.runs import read

    unfinished = read(out).state != "finished"
    if not sys.stdin.isatty():
        return unfinished
    question = f"{out} holds an unfinished demo. Go on with it? (no: move it aside and start anew)"
    if not unfinished:
        question = f"{out} holds a finished demo. Keep it as it is and only show it again? (no: move it aside)"
    return bool(typer.confirm(question, default=unfinished))
