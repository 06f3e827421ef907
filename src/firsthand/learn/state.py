"""What a learner has done: a fold over events, so that the history alone can bring it back."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = 1
LONGEST_PAUSE = 900.0
"""Seconds between two events that still count as work: who was away longer has been elsewhere."""

Event = Mapping[str, Any]
"""{"at": ISO time, "what": ..., more}. What can happen: visit, check, hint, gave_up, solution, skip, reset, milestone,
prediction, answers, import."""


class Record(BaseModel):
    """One exercise. `attempts`, `hints` and `seconds` are those until the first pass. `sha256`: of the file that passed
    last. `mutant`, `failing`: the slip and the property that the last check named. `rungs`: hints given, by the ladder
    they came from. `slips`: how often each known slip was made.
    """

    model_config = ConfigDict(extra="forbid")

    status: str = "not started"
    attempts: int = Field(0, ge=0)
    hints: int = Field(0, ge=0)
    gave_up: bool = False
    seconds: float = Field(0.0, ge=0)
    sha256: str | None = None
    passed_at: str | None = None
    mutant: str | None = None
    failing: str | None = None
    rungs: dict[str, int] = {}
    slips: dict[str, int] = {}
    seen_at: str | None = None

    @property
    def passed(self) -> bool:
        return self.status == "passed"


class State(BaseModel):
    """All of it. `here`: the exercise that the learner is at. `predictions`: by break experiment, what was expected and
    what came out."""

    model_config = ConfigDict(extra="forbid")

    schema_: int = Field(SCHEMA, alias="schema", le=SCHEMA)
    here: str | None = None
    exercises: dict[str, Record] = {}
    milestones: dict[str, dict[str, Any]] = {}
    predictions: dict[str, dict[str, Any]] = {}

    def of(self, name: str) -> Record:
        """The record of an exercise; an empty one if nothing has happened there."""
        return self.exercises.get(name, Record())

    def after(self, event: Event) -> "State":
        """The state once this has happened too. What an event of a later version means is ignored."""
        new = self.model_copy(deep=True)
        what, name = event["what"], event.get("exercise")
        if what == "import":
            return merged(new, of_json(event["state"]))
        if what == "milestone":
            new.milestones[event["milestone"]] = _told(event)
        elif what == "prediction":
            new.predictions[f"{name}:{event['mutant']}"] = _told(event)
        if name is not None:
            new.exercises[name] = _noted(new.of(name), event)
        if what in ("visit", "skip"):
            new.here = name
        return new

    def as_json(self) -> dict[str, Any]:
        """What state.json and an exported file hold."""
        return self.model_dump(mode="json", by_alias=True)


def of_json(tree: Any) -> State:
    """The state that `as_json` wrote. ValueError (pydantic's ValidationError) if it is nothing of the kind."""
    if not isinstance(tree, dict) or "schema" not in tree:
        raise ValueError("no schema, so no state")
    return State.model_validate(tree)


def replayed(events: Iterable[Event]) -> State:
    """The state after all these events."""
    state = State()
    for event in events:
        state = state.after(event)
    return state


def merged(first: State, second: State) -> State:
    """What was done in either; of two records of an exercise the one that passed earlier, or else that tried more."""
    both = {name: _better(first.of(name), second.of(name)) for name in first.exercises | second.exercises}
    return State(
        here=first.here or second.here,
        exercises=both,
        milestones=second.milestones | first.milestones,
        predictions=second.predictions | first.predictions,
    )


def _better(one: Record, other: Record) -> Record:
    def rank(record: Record) -> tuple[bool, str, int]:
        return not record.passed, record.passed_at or "", -record.attempts

    return min(one, other, key=rank)


def _noted(record: Record, event: Event) -> Record:
    """The record of the exercise that the event is about."""
    what, passed_before = event["what"], record.passed
    if not passed_before:
        record.seconds += _pause(record.seen_at, event["at"])
    record.seen_at = event["at"]
    if what == "check":
        _checked(record, event)
    elif what == "hint":
        record.rungs[event["ladder"]] = record.rungs.get(event["ladder"], 0) + 1
        record.hints += not passed_before
    elif what == "gave_up":
        record.gave_up = record.gave_up or not passed_before
    elif what == "reset":
        record.status, record.sha256 = "not started", None
    return record


def _checked(record: Record, event: Event) -> None:
    status = event["status"]
    record.mutant, record.failing = event.get("mutant"), event.get("property")
    if record.mutant:
        record.slips[record.mutant] = record.slips.get(record.mutant, 0) + 1
    if record.passed_at is None and status in ("passed", "failed"):
        record.attempts += 1
    if status == "passed":
        record.sha256 = event["sha256"]
        record.passed_at = record.passed_at or event["at"]
    if status == "passed" or not record.passed:
        record.status = status


def _told(event: Event) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key != "what"}


def _pause(before: str | None, now: str) -> float:
    """Seconds of work between two times; none if it was a break, or if a clock was set back."""
    if before is None:
        return 0.0
    seconds = (datetime.fromisoformat(now) - datetime.fromisoformat(before)).total_seconds()
    return seconds if 0 <= seconds <= LONGEST_PAUSE else 0.0
