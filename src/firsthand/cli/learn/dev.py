"""firsthand learn dev: for those who write lessons."""

from pathlib import Path
from typing import Annotated

import typer

from firsthand.cli.learn.common import say
from firsthand.cli.output import Json, emit

app = typer.Typer(no_args_is_help=True, help="For authors of lessons: scaffold, notebooks, gate.")


@app.command()
def new(
    number: Annotated[int, typer.Argument(min=0)],
    name: Annotated[str, typer.Argument(help="Of the lesson's folder and of its module, such as linear_attention.")],
    title: Annotated[str, typer.Option(help="Of the page.")] = "A new lesson",
    folder: Annotated[Path | None, typer.Option(help="Where lessons lie; absent: those of this installation.")] = None,
    json: Json = False,
) -> None:
    """Make the folder of a lesson, with every file that it needs."""
    from firsthand.learn.manifest import home
    from firsthand.learn.scaffold import scaffold

    made = scaffold(number, name, title, folder or home())
    files = [str(path.relative_to(made)) for path in sorted(made.rglob("*")) if path.is_file()]
    if json:
        emit({"lesson": str(made), "files": files})
        return
    say(f"{made}:", *(f"  {file}" for file in files), "How each is filled: docs/learning/authoring.md")


@app.command()
def build(
    out: Annotated[Path, typer.Option(help="The folder of the notebooks.")] = Path("notebooks"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if one is not up to date.")] = False,
    json: Json = False,
) -> None:
    """Write a notebook for every lesson; the same lessons give the same bytes."""
    from firsthand.errors import UserError
    from firsthand.learn import manifest
    from firsthand.learn.notebook import stale, write

    old = stale(manifest.lessons(), out)
    if check and old:
        raise UserError(f"Not what the lessons give: {', '.join(old)}. Write them again: firsthand learn dev build")
    written = [] if check else [str(write(lesson, out)) for lesson in manifest.lessons()]
    if not check:
        names = {Path(path).name for path in written}
        for path in out.glob("*.ipynb"):
            if path.name not in names:
                path.unlink()
    if json:
        emit({"written": written, "changed": old})
    else:
        say(f"{len(manifest.lessons())} notebooks in {out}; {f'new: {len(old)}' if old else 'all were up to date'}.")


@app.command("check")
def check_(
    exercise: Annotated[str | None, typer.Argument(help="One exercise; absent: all.")] = None,
    json: Json = False,
) -> None:
    """The quality gate of exercises: every slip is named, every right answer passes."""
    from firsthand.learn import manifest
    from firsthand.learn.grader.gate import gate

    wanted = [manifest.exercise(exercise)] if exercise else list(manifest.exercises())
    problems: dict[str, list[str]] = {}
    for one in wanted:
        problems[one.id] = gate(one)
        if not json:
            say(f"{one.id}: {'passes the gate' if not problems[one.id] else 'does not pass'}")
            say(*(f"  {problem}" for problem in problems[one.id]))
    if json:
        emit(problems)
    raise typer.Exit(1 if any(problems.values()) else 0)
