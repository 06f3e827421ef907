"""How far a figure over samples may be off: its standard error, and an interval from drawing the samples again."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 1000
CONFIDENCE = 0.95

Number = float | int | bool


@dataclass(frozen=True)
class Figure:
    """`value`, and how sure it is: 95 % of draws from the samples lie between `low` and `high`.

    `standard_error`, `low` and `high` are None for fewer than two samples."""

    value: float
    standard_error: float | None
    low: float | None
    high: float | None
    samples: int


def bootstrap(values: Sequence[Number], weights: Sequence[Number] | None = None, seed: int = 0) -> Figure:
    """sum(values) / sum(weights) over the samples: a mean without weights, a ratio such as nats per token with them.

    The interval is the percentile bootstrap's (Efron and Tibshirani 1993, chapter 13) over DRAWS draws, the same for
    the same seed. The standard error is s / √n, for a ratio its linearization (Cochran 1977, section 6.4).
    NaN without samples.
    """
    above = np.asarray(values, dtype=np.float64)
    below = np.ones_like(above) if weights is None else np.asarray(weights, dtype=np.float64)
    count = len(above)
    if not count or not below.sum():
        return Figure(float("nan"), None, None, None, count)
    value = float(above.sum() / below.sum())
    if count < 2:
        return Figure(value, None, None, None, count)
    error = float(np.sqrt(count / (count - 1) * ((above - value * below) ** 2).sum()) / below.sum())
    random = np.random.default_rng(seed)
    drawn = np.empty(DRAWS)
    for i in range(DRAWS):
        chosen = random.integers(count, size=count)
        drawn[i] = above[chosen].sum() / max(below[chosen].sum(), np.finfo(float).tiny)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Figure(value, error, float(low), float(high), count)
