"""firsthand learn start, list, next, goto: where one is, and where one goes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firsthand.cli.learn.common import MARKS, NOT_STARTED, Where, grid, opened, say
from firsthand.cli.output import Json, emit

if TYPE_CHECKING:
    from firsthand.learn.manifest import Exercise, Lesson
    from firsthand.learn.workspace import Workspace


def start(
    folder: Annotated[Path, typer.Argument(metavar="DIR")] = Path("my_llm"),
    quick: Annotated[bool, typer.Option("--quick", help="Leave out the look at this machine.")] = False,
    json: Json = False,
) -> None:
    """Make your folder, look at what this machine can do, and go to the first lesson."""
    from firsthand.learn import manifest, workspace

    made = workspace.start(folder)
    lessons = manifest.lessons()
    fresh = made.state().here is None
    if fresh and lessons:
        made.visit(lessons[0])
    machine = None
    if not quick:
        from firsthand.learn.machine import look

        machine = look()
    here = made.here()
    if json:
        emit({"workspace": str(folder), "machine": machine, "here": here.id, "file": str(made.file(here))})
        return
    say(f"{folder} {'is ready' if fresh else 'was there already; nothing in it was touched'}.")
    if machine:
        _show_machine(machine)
    _arrived(made, here, [])
    say("", "Then: firsthand learn            checks whenever you save", "      firsthand learn --help     all verbs")


def list_(where: Where = None, json: Json = False) -> None:
    """All lessons and exercises, how long they take, and how far you are."""
    from firsthand.learn.following import overview

    workspace = opened(where)
    state = workspace.state()
    rows = overview(state)
    if json:
        emit({"here": workspace.here().id, "exercises": rows})
        return
    _show_list(rows, workspace.here().id)


def next_(
    skip: Annotated[bool, typer.Option("--skip", help="Leave this exercise for later.")] = False,
    where: Where = None,
    json: Json = False,
) -> None:
    """Go on to the next exercise that has not passed."""
    from firsthand.errors import UserError
    from firsthand.learn.following import next_after
    from firsthand.learn.manifest import lesson

    workspace = opened(where)
    here, state = workspace.here(), workspace.state()
    if not state.of(here.id).passed and not skip:
        raise UserError(
            f"{here.id} has not passed yet. Check it (firsthand learn check), take a hint (firsthand learn hint), or "
            "leave it for later: firsthand learn next --skip"
        )
    if skip:
        workspace.record("skip", exercise=here.id)
    there = next_after(here, state)
    if there is None:
        _done(json)
        return
    new = workspace.visit(lesson(there.lesson), there)
    _tell_arrival(workspace, there, new, json)


def goto(
    number: Annotated[int, typer.Argument(metavar="LESSON", help="Its number.")],
    where: Where = None,
    json: Json = False,
) -> None:
    """Go to a lesson; nothing is locked. Its stubs arrive in your folder."""
    from firsthand.learn.following import missing_needs
    from firsthand.learn.manifest import lesson

    workspace = opened(where)
    there = lesson(number)
    state = workspace.state()
    lacking = missing_needs(there, state)
    waiting = [one for one in there.exercises if not state.of(one.id).passed]
    goal = (waiting or list(there.exercises))[0]
    new = workspace.visit(there, goal)
    if lacking and not json:
        names = ", ".join(f"{one.number} ({one.title})" for one in lacking)
        say(f"It builds on {names}. Whatever you have not written comes from the shipped code.")
    _tell_arrival(workspace, goal, new, json, [one.number for one in lacking])


def _tell_arrival(
    workspace: "Workspace", there: "Exercise", new: list[Path], json: bool, lacking: list[int] | None = None
) -> None:
    if json:
        found: dict[str, Any] = {"here": there.id, "lesson": there.lesson, "file": str(workspace.file(there))}
        emit(found | {"new_files": [str(path) for path in new], "needs": lacking or []})
    else:
        _arrived(workspace, there, new)


def _arrived(workspace: "Workspace", exercise: "Exercise", new: list[Path]) -> None:
    """Where one is now, and what to do there."""
    from firsthand.learn.manifest import lesson

    there: Lesson = lesson(exercise.lesson)
    say("", f"Lesson {there.number}: {there.title}", f"  {there.idea}", "")
    if new:
        say(f"New in your folder: {', '.join(path.name for path in new)}")
    editor = workspace.settings().editor or "open"
    say(
        f"Exercise {exercise.id} (about {exercise.minutes} minutes): fill in {', '.join(exercise.entry)}",
        f"  firsthand learn read {there.number}",
        f"  {editor} {workspace.file(exercise)}",
        f"  firsthand learn check {exercise.id}",
    )


def _done(json: bool) -> None:
    if json:
        emit({"here": None, "lesson": None, "file": None, "new_files": [], "needs": []})
    else:
        say("All exercises have passed. Train what you have built: firsthand learn milestone M3")


def _show_machine(machine: dict[str, Any]) -> None:
    memory = f"{machine['memory_gb']} GB of memory, " if machine["memory_gb"] else ""
    cores = f"{machine['cores']} core{'s' * (machine['cores'] != 1)}"
    say(
        f"This machine: {cores}, {memory}torch {machine['torch']}, Python {machine['python']}; "
        f"{machine['gflops']} GFLOP/s in a matrix product, {machine['attention_ms']} ms for a small attention.",
        *machine["advice"],
    )


def _show_list(rows: list[dict[str, Any]], here: str) -> None:
    from rich.text import Text

    table: list[tuple[Any, ...]] = []
    last = None
    for row in rows:
        title = f"{row['lesson']} {row['title']}" if row["lesson"] != last else ""
        last = row["lesson"]
        words, style = MARKS.get(row["status"], NOT_STARTED)
        helped = f"{row['hints']} hints" if row["hints"] else ""
        shown = ", ".join(filter(None, (helped, "solution read" if row["gave_up"] else "")))
        name = ("> " if row["exercise"] == here else "  ") + row["exercise"]
        stars = "*" * row["difficulty"]
        table.append(
            (title, name, Text(words, style=style), f"{row['minutes']} min", stars, row["attempts"] or "", shown)
        )
    heading = ("lesson", "  exercise", "", "about", "hard", "checks", "help")
    grid(table, heading, right=(3, 5))
    passed = sum(row["status"] == "passed" for row in rows)
    left = sum(row["minutes"] for row in rows if row["status"] != "passed")
    say("", f"{passed} of {len(rows)} passed; about {left} minutes of exercises left.")
