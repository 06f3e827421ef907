"""A class: many workspaces, or the progress files exported from them, read side by side. Nothing is sent anywhere."""

import csv
import io
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from firsthand.errors import UserError
from firsthand.learn import manifest
from firsthand.learn.state import State, of_json
from firsthand.learn.workspace import HIDDEN, NAME


@dataclass(frozen=True)
class Learner:
    """`problem`: why nothing could be read, if so."""

    name: str
    state: State
    problem: str = ""

    def row(self) -> dict[str, Any]:
        """One line of the class table."""
        records = self.state.exercises.values()
        return {
            "learner": self.name,
            "passed": sum(record.passed for record in records),
            "of": len(manifest.exercises()),
            "attempts": sum(record.attempts for record in records),
            "hints": sum(record.hints for record in records),
            "gave_up": sum(record.gave_up for record in records),
            "minutes": round(sum(record.seconds for record in records) / 60),
            "milestones": " ".join(sorted(self.state.milestones)),
            "last_seen": max((record.seen_at for record in records if record.seen_at), default=None),
            "problem": self.problem,
        }


def read(place: Path) -> Learner:
    """A workspace, a folder that holds one as my_llm/, or an exported file. Damage is told in the row, not raised.

    UserError if nothing is there.
    """
    inside = [folder for folder in (place, place / NAME) if (folder / HIDDEN).is_dir()]
    if not place.exists() or (place.is_dir() and not inside):
        raise UserError(
            f"{place} is neither a workspace nor an exported progress file (firsthand learn progress --export)."
        )
    path = inside[0] / HIDDEN / "state.json" if inside else place
    name = place.absolute().parent.name if place.name == NAME else place.stem
    try:
        return Learner(name, of_json(json.loads(path.read_bytes())))
    except FileNotFoundError:
        return Learner(name, State(), "nothing done yet")
    except (ValueError, RecursionError):
        return Learner(name, State(), f"{path.name} is damaged; `firsthand learn list` in that workspace repairs it")


def by_exercise(learners: list[Learner]) -> list[dict[str, Any]]:
    """For each exercise how the class fared: where many needed long or slipped alike, there is something to teach."""
    rows = []
    for exercise in manifest.exercises():
        records = [learner.state.of(exercise.id) for learner in learners]
        tried = [record for record in records if record.attempts]
        slips = Counter[str]()
        for record in records:
            slips.update(record.slips)
        rows.append(
            {
                "exercise": exercise.id,
                "planned_minutes": exercise.minutes,
                "passed": sum(record.passed for record in records),
                "tried": len(tried),
                "attempts": median([record.attempts for record in tried]) if tried else None,
                "minutes": round(median([record.seconds for record in tried]) / 60, 1) if tried else None,
                "hints": sum(record.hints for record in records),
                "gave_up": sum(record.gave_up for record in records),
                "slip": slips.most_common(1)[0][0] if slips else None,
            }
        )
    return rows


def as_csv(learners: list[Learner]) -> str:
    """The class table, with a column for the status of every exercise."""
    names = [exercise.id for exercise in manifest.exercises()]
    rows = [learner.row() | {name: learner.state.of(name).status for name in names} for learner in learners]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _plain(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def _plain(value: Any) -> Any:
    """A spreadsheet runs what begins like a formula: a folder's name must not."""
    return "'" + value if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value
