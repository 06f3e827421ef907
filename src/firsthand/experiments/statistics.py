"""What a few runs allow one to say: intervals and tests by Student's t, corrected when several are made.

Runs of two variants that share a seed share the order of the data, so their differences vary less than the figures
themselves: the tests are paired by seed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from firsthand.errors import UserError

CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE
"""Differences with a corrected p-value below this count as found."""


@dataclass(frozen=True)
class Estimate:
    """A mean over `count` values. `margin`: half the width of its 95% confidence interval; None for a single value."""

    mean: float
    margin: float | None
    count: int

    @property
    def low(self) -> float | None:
        return None if self.margin is None else self.mean - self.margin

    @property
    def high(self) -> float | None:
        return None if self.margin is None else self.mean + self.margin


@dataclass(frozen=True)
class Difference:
    """The mean of paired differences, and the probability of one as large if there were none. None: too few pairs."""

    estimate: Estimate
    p: float | None


def need_scipy() -> None:
    """UserError if scipy is missing: better told before hours of runs than after them."""
    try:
        import scipy.special  # noqa: F401
    except ImportError as error:
        raise UserError("Confidence intervals need scipy. Install it: pip install 'firsthand[lab]'.") from error


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and Student's interval: mean ± t(0.975, n - 1) · s / √n (Student 1908)."""
    mean, error = _mean_and_error(values)
    if error is None:
        return Estimate(mean, None, len(values))
    from scipy.special import stdtrit

    return Estimate(mean, float(stdtrit(len(values) - 1, 1 - ALPHA / 2)) * error, len(values))


def paired(values: Sequence[float], baseline: Sequence[float]) -> Difference:
    """`values` - `baseline`, pair by pair, with the two-sided p-value of Student's paired t-test."""
    differences = [value - base for value, base in zip(values, baseline, strict=True)]
    found = estimate(differences)
    _, error = _mean_and_error(differences)
    if error is None:
        return Difference(found, None)
    if error == 0:
        return Difference(found, 1.0 if found.mean == 0 else 0.0)
    from scipy.special import stdtr

    return Difference(found, 2 * float(stdtr(len(differences) - 1, -abs(found.mean) / error)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values corrected for being several (Holm 1979): the chance of even one false finding stays below ALPHA.

    The smallest of k is multiplied by k, the next by k - 1, and so on; none may be smaller than one before it.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        corrected[place] = highest
    return corrected


def _mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean and its standard error; no error for a single value."""
    assert values, "a mean needs a value"
    count = len(values)
    mean = math.fsum(values) / count
    if count < 2:
        return mean, None
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1) / count)
