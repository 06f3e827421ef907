"""Reading metrics.jsonl: what a run has measured so far, whatever state the file is in."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

Points: TypeAlias = Float64[ndarray, "..."]


@dataclass(frozen=True)
class Metrics:
    """Lines in the order of their steps.

    A training line has "step", "tokens", "seconds", "loss" (nats per token), "grad_norm", "lr", "tokens_per_second"
    and "peak_share"; an evaluation line "step", "tokens", "seconds", "validation_loss" (nats per token) and
    "bits_per_byte". `damaged` counts lines that could not be read, such as the half line that a killed run leaves.
    """

    lines: list[dict[str, float]]
    damaged: int = 0

    @staticmethod
    def read(path: Path) -> "Metrics":
        """The file at `path`; no lines if there is no file.

        A resumed run writes the steps after its checkpoint again: the later line of a step holds.
        """
        lines: dict[tuple[float, bool], dict[str, float]] = {}
        damaged, last = 0, -1.0
        raw = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        for text in raw.splitlines():
            line = _numbers(text)
            if line is None:
                damaged += bool(text.strip())
                continue
            step = line["step"]
            if step < last:
                lines = {key: known for key, known in lines.items() if key[0] < step}
            lines[step, "validation_loss" in line] = line
            last = step
        return Metrics(list(lines.values()), damaged)

    def series(self, key: str, over: str = "step") -> tuple[Points, Points]:
        """`over` and `key` of every line that has both as finite numbers."""
        pairs = [(line[over], line[key]) for line in self.lines if over in line and key in line]
        points = np.array(pairs, dtype=np.float64).reshape(-1, 2)
        points = points[np.isfinite(points).all(axis=1)]
        return points[:, 0], points[:, 1]

    def last(self, key: str) -> float | None:
        """`key` in the last line that has it as a finite number."""
        values = self.series(key)[1]
        return float(values[-1]) if len(values) else None

    def bits_per_nat(self) -> float | None:
        """Bits per byte for one nat per token: what makes losses over different tokenizers comparable."""
        for line in reversed(self.lines):
            bits, nats = line.get("bits_per_byte"), line.get("validation_loss")
            if bits and nats and np.isfinite(bits / nats):
                return bits / nats
        return None


def _numbers(text: str) -> dict[str, float] | None:
    """The numbers of one line, or None if it is not a whole line with a step."""
    try:
        line: Any = json.loads(text)
        known = line.items() if isinstance(line, dict) else ()
        numbers = {key: float(value) for key, value in known if type(value) in (int, float)}
    except (ValueError, OverflowError, RecursionError):
        return None
    return numbers if np.isfinite(numbers.get("step", np.nan)) else None
