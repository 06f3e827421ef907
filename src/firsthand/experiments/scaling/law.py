"""How the loss falls with the size of the model and of the data (Hoffmann et al. 2022, arXiv 2203.15556)."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from firsthand.errors import UserError

Numbers: TypeAlias = NDArray[Any]
"""Logarithms: constants (a, b, e, alpha, beta), or rows of runs (weights, tokens, loss)."""

HUBER = 1e-3
"""Residuals of log loss beyond this count linearly (their appendix D.2)."""
RESAMPLES = 100


@dataclass(frozen=True)
class Point:
    """One finished run: `weights` that a token is multiplied with, `tokens` trained on, `loss` in nats per token."""

    weights: float
    tokens: float
    loss: float


@dataclass(frozen=True)
class Law:
    """loss = e + a / weights^alpha + b / tokens^beta (equation 10)."""

    e: float
    a: float
    b: float
    alpha: float
    beta: float

    def loss(self, weights: float, tokens: float) -> float:
        return float(self.e + self.a / weights**self.alpha + self.b / tokens**self.beta)

    def best_split(self, flops: float) -> tuple[float, float]:
        """Weights and tokens with the least loss for 6 · weights · tokens = `flops` (equation 4)."""
        product, total = flops / 6, self.alpha + self.beta
        g = (self.alpha * self.a / (self.beta * self.b)) ** (1 / total)
        return g * product ** (self.beta / total), product ** (self.alpha / total) / g


@dataclass(frozen=True)
class Fit:
    """The law that fits best, and others that fit data as uncertain as ours (for bands)."""

    law: Law
    others: list[Law]
    worst: float
    """The largest error of the law at a point that it was fitted to, as a share of the loss."""

    def band(self, weights: float, tokens: float) -> tuple[float, float]:
        """95 % of the other laws predict a loss between these."""
        found = np.array([law.loss(weights, tokens) for law in self.others])
        low, high = np.quantile(found, [0.025, 0.975])
        return float(low), float(high)


def fit(points: Sequence[Point], seed: int = 0) -> Fit:
    """Least Huber loss of log loss, from many starts (their appendix D.2); bands by resampling the residuals.

    Five constants are fitted: UserError for fewer than six runs, or fewer than two sizes or amounts of data.
    """
    if len(points) < 6 or len({p.weights for p in points}) < 2 or len({p.tokens for p in points}) < 2:
        raise UserError(
            f"A scaling law has five constants, and {len(points)} runs are too few to fit and doubt them: train at "
            "least three sizes on two amounts of data."
        )
    logs = np.log(np.array([[p.weights, p.tokens, p.loss] for p in points]))
    best = min((_descend(logs, start) for start in _starts(logs)), key=lambda found: found[1])[0]
    residuals = logs[:, 2] - _predict(best, logs)
    spread = residuals * np.sqrt(len(points) / max(1, len(points) - 5))  # five constants took some of the spread away
    generator, others = np.random.default_rng(seed), []
    for _ in range(RESAMPLES):
        again = logs.copy()
        again[:, 2] = _predict(best, logs) + generator.choice(spread, len(points))
        others.append(_law(_descend(again, best)[0]))
    return Fit(_law(best), others, float(np.abs(np.expm1(residuals)).max()))


def _law(constants: Numbers) -> Law:
    a, b, e, alpha, beta = (float(number) for number in constants)
    return Law(float(np.exp(e)), float(np.exp(a)), float(np.exp(b)), alpha, beta)


def _predict(constants: Numbers, logs: Numbers) -> Numbers:
    """The logarithm of the law."""
    a, b, e, alpha, beta = constants
    terms = np.stack((a - alpha * logs[:, 0], b - beta * logs[:, 1], np.full(len(logs), e)))
    found: Numbers = np.logaddexp.reduce(terms)
    return found


def _objective(constants: Numbers, logs: Numbers) -> tuple[float, Numbers]:
    """The Huber loss, and its gradient."""
    a, b, e, alpha, beta = constants
    predicted = _predict(constants, logs)
    shares = np.exp(np.stack((a - alpha * logs[:, 0], b - beta * logs[:, 1], np.full(len(logs), e))) - predicted)
    error = predicted - logs[:, 2]
    small = np.abs(error) <= HUBER
    loss = np.where(small, 0.5 * error**2, HUBER * (np.abs(error) - 0.5 * HUBER)).sum()
    slope = np.where(small, error, HUBER * np.sign(error))
    by_terms = shares @ slope
    gradient = [*by_terms, -(shares[0] * logs[:, 0]) @ slope, -(shares[1] * logs[:, 1]) @ slope]
    return float(loss) / HUBER**2, np.array(gradient) / HUBER**2


def _descend(logs: Numbers, start: Numbers) -> tuple[Numbers, float]:
    """Where L-BFGS ends from `start`, and how well that fits."""
    from scipy.optimize import minimize

    bounds = [(-20.0, 60.0), (-20.0, 60.0), (-10.0, float(logs[:, 2].min())), (0.02, 3.0), (0.02, 3.0)]
    found = minimize(_objective, start, args=(logs,), jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x, dtype=np.float64), float(found.fun)


def _starts(logs: Numbers) -> list[Numbers]:
    """Slopes from flat to steep, and three guesses at what no model gets below; the rest is shared by both terms."""
    weights, tokens, loss = logs.mean(0)
    least = float(np.exp(logs[:, 2].min()))
    found = []
    for alpha, beta, share in itertools.product((0.1, 0.3, 0.6, 1.0), (0.1, 0.3, 0.6, 1.0), (0.2, 0.6, 0.95)):
        rest = np.log(max(float(np.exp(loss)) - share * least, 1e-6) / 2)
        found.append(np.array([rest + alpha * weights, rest + beta * tokens, np.log(share * least), alpha, beta]))
    return found
