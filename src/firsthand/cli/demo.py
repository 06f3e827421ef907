"""firsthand demo: from all of Shakespeare's plays to a GPT that writes, in a few minutes."""

from pathlib import Path
from typing import Annotated

import typer

from firsthand.cli.output import Json, console, emit
from firsthand.cli.train import find_recipe


def demo(
    seconds: Annotated[float, typer.Option(min=1, help="How long to train.")] = 240.0,
    out: Annotated[Path, typer.Option(help="The run's folder.")] = Path("runs/demo"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted demo.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Move an earlier demo aside and start anew.")] = False,
    json: Json = False,
) -> None:
    """Train a GPT on Shakespeare's plays, watch it learn, and compare it with simpler models on held-out plays."""
    from firsthand import config
    from firsthand.errors import UserError

    if resume and fresh:
        raise UserError("--resume goes on with an earlier demo and --fresh starts anew: give one of them.")
    tree = config.load(find_recipe("demo"), [f"train.seconds={seconds}", f"run.dir={out}"])

    from firsthand.experiments import report
    from firsthand.experiments.demo import next_commands, run_demo
    from firsthand.experiments.display import Display
    from firsthand.experiments.folder import RunFolder

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
