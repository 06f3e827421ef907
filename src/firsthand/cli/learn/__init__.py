"""firsthand learn: lessons, exercises and a grader that says what is wrong. Without a verb: watch."""

from pathlib import Path
from typing import Annotated

import typer

from firsthand.cli.learn import checks, dev, pages, progress, teachers, training, travel, watch
from firsthand.cli.learn.common import WORKSPACE

app = typer.Typer(invoke_without_command=True)


@app.callback()
def learn(
    ctx: typer.Context,
    workspace: Annotated[Path | None, typer.Option(help="Your folder, if not my_llm/ here or above.")] = None,
) -> None:
    """Build a GPT part by part; every part is checked, explained, and then trained. Without a verb: watch."""
    ctx.find_root().meta[WORKSPACE] = workspace
    if ctx.invoked_subcommand is None:
        watch.watch(ctx)


app.command()(travel.start)
app.command()(watch.watch)
app.command("list")(travel.list_)
app.command("next")(travel.next_)
app.command()(travel.goto)
app.command()(checks.check)
app.command()(checks.hint)
app.command()(checks.solution)
app.command()(checks.explain)
app.command("break")(training.break_)
app.command()(training.milestone)
app.command("run")(training.run)
app.command()(pages.read)
app.command()(pages.notebook)
app.command()(progress.progress)
app.command()(progress.reset)
app.command()(teachers.report)
app.add_typer(dev.app, name="dev")
