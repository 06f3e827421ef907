"""The next rung: a question, a traced tiny input, pseudocode, where to look. It follows the last diagnosis."""

from dataclasses import dataclass

from firsthand.learn.manifest import RUNGS, Exercise
from firsthand.learn.state import Record

KINDS = ("a question", "by hand, on tiny numbers", "in words of code", "where to look")


@dataclass(frozen=True)
class Hint:
    """`ladder`: the mutant, the property or "default" that it belongs to. `rung`: 1 to 4. `again`: all four were given,
    and this is the last of them once more."""

    ladder: str
    rung: int
    text: str
    again: bool = False

    @property
    def kind(self) -> str:
        return KINDS[self.rung - 1]


def next_hint(exercise: Exercise, record: Record) -> Hint:
    """From the ladder of the slip that the last check named, else of the property that did not hold, else the usual."""
    ladder = next((name for name in (record.mutant, record.failing) if name in exercise.hints), None) or "default"
    given = record.rungs.get(ladder, 0)
    rung = min(given + 1, RUNGS)
    return Hint(ladder, rung, exercise.hints[ladder][rung - 1], again=given >= RUNGS)
