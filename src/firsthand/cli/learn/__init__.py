"""firsthand learn: lessons, exercises and a grader that says what is wrong. Without a verb: watch."""

from typing import Any

import typer
from typer.core import TyperGroup

from firsthand.cli.learn import checks, dev, pages, progress, teachers, training, travel, watch


class _WatchFirst(TyperGroup):
    """`firsthand learn` without a verb watches."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        bare = not args or (args[0].startswith("-") and args[0] != "--help")
        return super().parse_args(ctx, ["watch", *args] if bare else args)


app = typer.Typer(
    cls=_WatchFirst,
    help="Build a GPT part by part; every part is checked, explained, and then trained. Without a verb: watch.",
)
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
