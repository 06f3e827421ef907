"""What the grader says about one exercise: three lines, and the evidence for them."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Status = Literal["passed", "failed", "not started", "error"]
SCHEMA = 1

# 2 stays what every command ends with that was called wrongly
EXIT_CODES: dict[Status, int] = {"passed": 0, "failed": 1, "not started": 3, "error": 4}


@dataclass(frozen=True)
class Verdict:
    """`stage`: where it ended (import, signature, shapes, properties, reference, gradients, purity). `property`: what
    does not hold. `mutant`: the known slip that the code equals exactly, else None. `what`, `why`, `next`: the three
    lines. `notes`: what does not make it fail (borrowed code, slow). `picture`: target, yours and difference as text.
    """

    exercise: str
    status: Status
    stage: str = ""
    property: str | None = None
    mutant: str | None = None
    what: str = ""
    why: str = ""
    next: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    picture: str = ""
    seconds: float = 0.0

    def taking(self, seconds: float) -> "Verdict":
        """The same, with how long it took."""
        return replace(self, seconds=seconds)

    def as_json(self) -> dict[str, Any]:
        """One JSON object; the same on the command line and from a worker."""
        return {"schema": SCHEMA, **asdict(self), "notes": list(self.notes)}

    @classmethod
    def of_json(cls, found: dict[str, Any]) -> "Verdict":
        """The verdict that `as_json` wrote."""
        fields = {key: value for key, value in found.items() if key != "schema"}
        return cls(**fields | {"notes": tuple(fields["notes"])})
