"""Learning-rate schedules: factories of functions from the fraction of the budget used to a multiplier in (0, 1].

`warmup` and `decay` are fractions of the budget, so one recipe serves a run of any length. The loop asks for the middle
of each step, so that neither a warm-up from 0 nor a decay to 0 wastes one.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

from firsthand.errors import UserError

Schedule: TypeAlias = Callable[[float], float]


def constant(warmup: float = 0.0) -> Schedule:
    """1 after the warm-up."""
    return _warmed(warmup, lambda fraction: 1.0)


def linear(warmup: float = 0.02, final: float = 0.0) -> Schedule:
    """A straight line from 1 to `final`."""
    return _warmed(warmup, lambda fraction: 1.0 - (1.0 - final) * fraction)


def warmup_cosine(warmup: float = 0.02, final: float = 0.1) -> Schedule:
    """Half a cosine from 1 to `final` (Loshchilov & Hutter 2017, SGDR, eq. 5, without restarts)."""
    return _warmed(warmup, lambda fraction: final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * fraction)))


def warmup_stable_decay(warmup: float = 0.02, decay: float = 0.5, final: float = 0.05) -> Schedule:
    """1, then a straight line to `final` over the last `decay` of the budget (Hu et al. 2024, MiniCPM, section 4.2)."""
    if not 0 < decay <= 1 - warmup:
        raise UserError(f"schedule: decay = {decay} and warmup = {warmup} must be positive and add up to at most 1.")

    def multiplier(fraction: float) -> float:
        if fraction < warmup:
            return fraction / warmup
        return min(1.0, final + (1.0 - final) * (1.0 - fraction) / decay)

    return multiplier


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "linear": linear,
    "warmup_cosine": warmup_cosine,
    "warmup_stable_decay": warmup_stable_decay,
}


def _warmed(warmup: float, after: Schedule) -> Schedule:
    """A straight line from 0 to 1 over the first `warmup`, then `after` of the fraction of what remains."""
    if not 0 <= warmup < 1:
        raise UserError(f"schedule: warmup = {warmup} is a fraction of the budget; it must lie in [0, 1).")

    def multiplier(fraction: float) -> float:
        if fraction < warmup:
            return fraction / warmup
        return after((fraction - warmup) / (1.0 - warmup))

    return multiplier
