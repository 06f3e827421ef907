"""Which points of the axes a sweep tries: all of a grid, random ones, or those that a model of the past suggests."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from firsthand.errors import UserError
from firsthand.experiments.sweep.axes import Axis

Point: TypeAlias = dict[str, str]
"""A value for each key, as it would stand on the command line."""
USUAL_RUNS = 20


@runtime_checkable
class Search(Protocol):
    """Asked for a point, then told how it went, in turn. The same answers lead to the same points: so it resumes."""

    runs: int

    def ask(self) -> Point: ...
    def tell(self, bits_per_byte: float | None) -> None: ...


class Listed:
    """Points that are known beforehand."""

    def __init__(self, points: list[Point]) -> None:
        self.points, self.runs = points, len(points)
        self._next = iter(points)

    def ask(self) -> Point:
        return next(self._next)

    def tell(self, bits_per_byte: float | None) -> None:
        """What came of it changes nothing."""


class Optuna:
    """Tree-structured Parzen estimator (Bergstra et al. 2011, section 4) by optuna; learns from every answer."""

    def __init__(self, axes: Sequence[Axis], runs: int, seed: int) -> None:
        try:
            import optuna
        except ImportError as error:
            raise UserError("--search optuna needs optuna. Install it: pip install 'firsthand[lab]'.") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.runs, self._axes = runs, axes
        self._failed = optuna.trial.TrialState.FAIL
        self._study: Any = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        self._trial: Any = None

    def ask(self) -> Point:
        self._trial = self._study.ask()
        return {axis.key: axis.suggest(self._trial) for axis in self._axes}

    def tell(self, bits_per_byte: float | None) -> None:
        if bits_per_byte is None:
            self._study.tell(self._trial, state=self._failed)
        else:
            self._study.tell(self._trial, bits_per_byte)


def grid(axes: Sequence[Axis], runs: int | None, seed: int) -> Search:
    """Every combination, the last axis fastest."""
    if runs is not None:
        raise UserError("A grid makes all of its runs. --runs belongs to --search random and --search optuna.")
    keys = [axis.key for axis in axes]
    combinations = itertools.product(*(axis.grid() for axis in axes))
    return Listed([dict(zip(keys, values, strict=True)) for values in combinations])


def random(axes: Sequence[Axis], runs: int | None, seed: int) -> Search:
    """Points drawn from the axes, none twice (Bergstra & Bengio 2012); more runs begin with the same points."""
    generator = np.random.default_rng(seed)
    wanted = runs or USUAL_RUNS
    points: list[Point] = []
    for _ in range(100 * wanted):
        point = {axis.key: axis.draw(generator) for axis in axes}
        if point not in points:
            points.append(point)
        if len(points) == wanted:
            break
    return Listed(points)


def optuna(axes: Sequence[Axis], runs: int | None, seed: int) -> Search:
    """What optuna suggests."""
    return Optuna(axes, runs or USUAL_RUNS, seed)


SEARCHES: dict[str, Callable[[Sequence[Axis], int | None, int], Search]] = {
    "grid": grid,
    "random": random,
    "optuna": optuna,
}
