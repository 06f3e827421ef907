"""firsthand learn report: a class at a glance, from folders or exported files."""

from pathlib import Path
from typing import Annotated, Any

import typer

from firsthand.cli.learn.common import grid, say
from firsthand.cli.output import Json, emit


def report(
    places: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Workspaces, or exported progress files.")],
    csv: Annotated[Path | None, typer.Option(help="Also write the table to this file.")] = None,
    json: Json = False,
) -> None:
    """One line for each learner and one for each exercise. Reads folders on this machine, and sends nothing."""
    from firsthand.learn.classroom import as_csv, by_exercise, read
    from firsthand.learn.workspace import write_whole

    learners = [read(place) for place in places]
    rows, exercises = [learner.row() for learner in learners], by_exercise(learners)
    if csv:
        write_whole(csv, as_csv(learners))
    if json:
        emit({"learners": rows, "exercises": exercises})
        return
    _show_learners(rows)
    if exercises:
        say("")
        _show_exercises(exercises, len(rows))
    if csv:
        say("", f"Written to {csv}.")


def _show_learners(rows: list[dict[str, Any]]) -> None:
    cells = [
        (
            row["learner"],
            f"{row['passed']} of {row['of']}",
            row["attempts"],
            row["hints"],
            row["gave_up"],
            f"{row['minutes']} min",
            (row["last_seen"] or "")[:10],
            row["problem"] or row["milestones"],
        )
        for row in rows
    ]
    heading = ("learner", "passed", "checks", "hints", "gave up", "work", "last seen", "")
    grid(cells, heading, right=(1, 2, 3, 4, 5))


def _show_exercises(rows: list[dict[str, Any]], learners: int) -> None:
    cells = [
        (
            row["exercise"],
            f"{row['passed']} of {learners}",
            "" if row["attempts"] is None else f"{row['attempts']:g}",
            "" if row["minutes"] is None else f"{row['minutes']:g} of {row['planned_minutes']} min",
            row["gave_up"] or "",
            row["slip"] or "",
        )
        for row in rows
    ]
    heading = ("exercise", "passed", "checks", "work (median)", "gave up", "most common slip")
    grid(cells, heading, right=(1, 2, 3, 4))
