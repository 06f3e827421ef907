"""The command line: each verb is one file, which parses, calls one of the apps and prints."""

import io
import os
import sys

import typer

from firsthand.cli import (
    bench,
    chat,
    check,
    classify,
    compare,
    compress,
    count,
    data,
    demo,
    errors,
    eval,
    export,
    generate,
    get,
    growth,
    import_,
    learn,
    prepare,
    probe,
    runs,
    scaling,
    sweep,
    tokenizer,
    train,
)

app = typer.Typer(
    name="firsthand",
    help="Build a GPT from scratch and know every part firsthand.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(generate.generate)
app.command("eval")(eval.evaluate)
app.command()(chat.chat)
app.command()(get.get)
app.command()(prepare.prepare)
app.command()(train.train)
app.command()(demo.demo)
app.command("import")(import_.import_)
app.command()(export.export)
app.command()(count.count)
app.command()(check.check)
app.command()(classify.classify)
app.command()(compare.compare)
app.command()(compress.compress)
app.command()(sweep.sweep)
app.command()(growth.growth)
app.command()(probe.probe)
app.command()(scaling.scaling)
app.command()(bench.bench)
app.add_typer(runs.app, name="runs")
app.add_typer(tokenizer.app, name="tokenizer")
app.add_typer(data.app, name="data")
app.add_typer(learn.app, name="learn")


def prepare_environment() -> None:
    """What torch reads when it is loaded, unless the user has set it: measured in docs/training.md.

    Threads that wait for each other spin a little and then sleep: sleeping at once wastes time, and long spinning
    stalls training beside any busy program.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def main(arguments: list[str] | None = None) -> None:
    """The program `firsthand`. `--debug` anywhere shows tracebacks; exit codes stand in docs/training.md."""
    prepare_environment()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows ? instead
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [word for word in given if word != "--debug"]
    sys.exit(errors.run(lambda: app(given, standalone_mode=False), json="--json" in given, debug=debug))
