"""How long a run is: bounded by steps, tokens, seconds or FLOPs, whichever is reached first."""

from dataclasses import dataclass

from firsthand.errors import UserError


@dataclass(frozen=True)
class Progress:
    """What a run has used so far."""

    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    flops: float = 0.0


@dataclass(frozen=True)
class Budget:
    """The bounds of a run; None is no bound. Schedules follow `fraction`, so a run of 60 seconds warms up and decays
    just as a run of 1,000 steps does."""

    steps: int | None = None
    tokens: float | None = None
    seconds: float | None = None
    flops: float | None = None

    def __post_init__(self) -> None:
        if self.steps is None and self.tokens is None and self.seconds is None and self.flops is None:
            raise UserError(
                "The run has no end: set at least one of train.steps, train.tokens, train.seconds, train.flops."
            )

    def fraction(self, progress: Progress) -> float:
        """The share of the budget that is used, in [0, 1]: that of the bound which is nearest to its end."""
        pairs = (
            (progress.steps, self.steps),
            (progress.tokens, self.tokens),
            (progress.seconds, self.seconds),
            (progress.flops, self.flops),
        )
        return min(1.0, max(used / bound for used, bound in pairs if bound is not None))
