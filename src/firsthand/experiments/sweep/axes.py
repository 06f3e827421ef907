"""The settings that a sweep tries: lists of values, and ranges of numbers."""

import math
import re
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from firsthand.errors import UserError
from firsthand.experiments.words import is_setting, split_outside

GRID_POINTS = 5
"""So many points of a range are on a grid, unless it says otherwise."""
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"(?P<low>{_NUMBER})\.\.(?P<high>{_NUMBER})(?P<words>(?::\w+)*)")


@dataclass(frozen=True)
class Choices:
    """One of several values, each as it would stand after key= on the command line."""

    key: str
    values: tuple[str, ...]

    @property
    def numeric(self) -> bool:
        """Are they all numbers, so that they have an order and a distance?"""
        return all(re.fullmatch(_NUMBER, value) for value in self.values)

    @property
    def log(self) -> bool:
        """Do they look like numbers of a log scale?"""
        numbers = [float(value) for value in self.values] if self.numeric else [0.0]
        return min(numbers) > 0 and max(numbers) >= 8 * min(numbers)

    def grid(self) -> list[str]:
        return list(self.values)

    def draw(self, random: np.random.Generator) -> str:
        return self.values[int(random.integers(len(self.values)))]

    def suggest(self, trial: Any) -> str:
        """What optuna's `trial` would like to try."""
        return str(trial.suggest_categorical(self.key, self.values))


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`, both included; on a log scale, or whole, if it says so."""

    key: str
    low: float
    high: float
    log: bool = False
    whole: bool = False
    points: int = GRID_POINTS

    @property
    def numeric(self) -> bool:
        return True

    def grid(self) -> list[str]:
        space = np.geomspace if self.log else np.linspace
        return list(dict.fromkeys(self._text(float(value)) for value in space(self.low, self.high, self.points)))

    def draw(self, random: np.random.Generator) -> str:
        if self.log:
            return self._text(math.exp(random.uniform(math.log(self.low), math.log(self.high))))
        return self._text(
            float(random.integers(round(self.low), round(self.high), endpoint=True))
            if self.whole
            else random.uniform(self.low, self.high)
        )

    def suggest(self, trial: Any) -> str:
        """What optuna's `trial` would like to try."""
        if self.whole:
            return self._text(float(trial.suggest_int(self.key, round(self.low), round(self.high), log=self.log)))
        return self._text(trial.suggest_float(self.key, self.low, self.high, log=self.log))

    def _text(self, value: float) -> str:
        """Four significant digits are more than a loss can tell apart, and make names that can be read."""
        return str(round(value)) if self.whole else repr(float(f"{value:.4g}"))


Axis: TypeAlias = Choices | Range


def parse_axis(word: str) -> Axis | None:
    """The axis that key=a,b,c or key=LOW..HIGH[:log][:int][:POINTS] describes; None for a plain setting."""
    if not is_setting(word):
        raise UserError(f"{word!r} is neither a setting nor a list of values. Write key=value, key=a,b or key=1..9.")
    key, _, text = word.partition("=")
    found = _RANGE.fullmatch(text.strip())
    if found:
        return _range(word, key, float(found["low"]), float(found["high"]), found["words"].split(":")[1:])
    if ".." in text and not re.search(r"[/\[{'\"]", text):
        raise UserError(f"{word}: a range is LOW..HIGH, then :log, :int or a number of points: 1e-4..1e-2:log:7.")
    values = tuple(split_outside(text, ","))
    return Choices(key, values) if len(values) > 1 else None


def _range(word: str, key: str, low: float, high: float, words: list[str]) -> Range:
    unknown = [each for each in words if each not in ("log", "int") and not each.isdecimal()]
    if unknown:
        raise UserError(f"{word}: {unknown[0]!r} says nothing about a range. Valid here: log, int, a number of points.")
    log, whole = "log" in words, "int" in words
    if not low < high or (log and low <= 0):
        raise UserError(f"{word}: a range goes upwards{', and on a log scale from more than 0' if log else ''}.")
    if whole and (low % 1 or high % 1):
        raise UserError(f"{word}: a range of whole numbers begins and ends with one.")
    points = next((int(each) for each in words if each.isdecimal()), GRID_POINTS)
    if points < 2:
        raise UserError(f"{word}: a grid needs at least 2 points of a range.")
    return Range(key, low, high, log, whole, points)
