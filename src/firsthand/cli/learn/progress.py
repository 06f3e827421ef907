"""firsthand learn progress and reset: what has been done, and beginning again."""

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from firsthand.cli.learn.common import Name, Where, chosen, grid, opened, say
from firsthand.cli.output import Json, emit

MOST_BYTES = 5_000_000


def progress(
    export: Annotated[
        Path | None, typer.Option(help="Write it to this file, for another machine or a teacher.")
    ] = None,
    import_: Annotated[
        Path | None, typer.Option("--import", help="Add what was done elsewhere; the earliest pass of each counts.")
    ] = None,
    where: Where = None,
    json: Json = False,
) -> None:
    """What you have passed, how long it took, and what helped."""
    from firsthand.learn.workspace import write_whole

    workspace = opened(where)
    if import_:
        workspace.record("import", state=_read(import_))
    state = workspace.state()
    if export:
        write_whole(export, json_module.dumps(state.as_json(), indent=1, ensure_ascii=False) + "\n")
    if json:
        emit(state.as_json())
        return
    for words, path in (("Added what is in", import_), ("Written to", export)):
        if path:
            say(f"{words} {path}.")
    rows = [
        (
            name,
            record.status,
            record.attempts,
            record.hints,
            f"{record.seconds / 60:.0f} min",
            (record.passed_at or "")[:10],
            "solution read" if record.gave_up else "",
        )
        for name, record in state.exercises.items()
    ]
    if rows:
        grid(rows, ("exercise", "", "checks", "hints", "work", "passed", ""), right=(2, 3, 4))
    else:
        say("Nothing yet. Begin with: firsthand learn read 1")
    for name, told in sorted(state.milestones.items()):
        say(f"{name}: {told.get('said', 'done')}")


def reset(exercise: Name = None, where: Where = None, json: Json = False) -> None:
    """The stub again; your file is kept beside it as .bak."""
    from firsthand.learn import manifest, stubs

    workspace = opened(where)
    one = chosen(workspace, exercise)
    kept = stubs.put_back(one, workspace.file(one))
    workspace.record("reset", exercise=one.id)
    others = [other.id for other in manifest.exercises() if other.file == one.file and other.id != one.id]
    if json:
        emit({"exercise": one.id, "file": str(workspace.file(one)), "kept": str(kept) if kept else None})
        return
    say(f"{workspace.file(one)} is the stub again{f'; what was there is {kept.name}' if kept else ''}.")
    if others:
        say(f"The same file holds {', '.join(others)}{f': copy back what you want from {kept.name}' if kept else ''}.")


def _read(path: Path) -> object:
    """The exported state. UserError if the file is nothing of the kind."""
    from firsthand.errors import DamagedError, UserError
    from firsthand.learn.state import of_json

    if not path.is_file():
        raise UserError(f"There is no file {path}. On the other machine: firsthand learn progress --export {path.name}")
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"{path} is far too large for a progress file ({path.stat().st_size / 1e6:.0f} MB).")
    try:
        return of_json(json_module.loads(path.read_bytes())).as_json()
    except (ValueError, RecursionError) as error:
        raise DamagedError(
            f"{path} is no progress file, or is damaged. Write it again: firsthand learn progress --export {path.name}"
        ) from error
