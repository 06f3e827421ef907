"""A plan for a size or a loss is looked for: bits for each map by what they cost (allocation.py), then less of the
model in as many bits."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from firsthand.compress import METHODS
from firsthand.errors import UserError
from firsthand.experiments.compression.allocation import EMBEDDING, allocate, max_bytes, min_bytes
from firsthand.experiments.compression.bench import Bench
from firsthand.experiments.compression.row import BF16, ORIGINAL, Row
from firsthand.experiments.compression.sensitivity import LADDER, Cost, sensitivity
from firsthand.model.language_model import LanguageModel
from firsthand.parts import PartSpec

TRIES = 5
NAMES = tuple(f"found-{number}" for number in range(1, TRIES + 1))
SHARES = (0.1, 0.25, 0.4)
"""Of channels, heads and layers that go where 4 bits are not enough."""


@dataclass(frozen=True)
class Target:
    """At most so many `bytes`, or at most such a `rise` in bits per byte, as a share."""

    bytes: int | None = None
    rise: float | None = None

    def best(self, rows: Sequence[Row]) -> Row | None:
        """Of those that reach the target: the least bits per byte, or the fewest bytes. None if none does."""
        plans = [row for row in rows if row.bits and row.plan not in (ORIGINAL, BF16)]
        if self.bytes is not None:
            return min((row for row in plans if row.bytes <= self.bytes), key=_bits, default=None)
        return min((row for row in plans if _rise(row) <= (self.rise or 0.0)), key=lambda row: row.bytes, default=None)

    def said(self, best: Row | None) -> str:
        wanted = (
            f"at most {self.bytes / 1e6:,.1f} MB" if self.bytes is not None else f"a rise of at most {self.rise:.2%}"
        )
        if best is None:
            return f"Nothing that was tried has {wanted}."
        return f"Wanted: {wanted}. Found: {best.plan}, {best.bytes / 1e6:,.1f} MB, a rise of {_rise(best):.2%}."


def target_of(size: str | None, loss: str | None) -> Target | None:
    """What "50MB" or "+1%" mean; None for neither. UserError for both, and for anything else."""
    if size is not None and loss is not None:
        raise UserError("Give --target or --target-loss, not both.")
    if size is not None:
        found = re.fullmatch(r"([0-9.]+)\s*([kMG]?)B", size.strip())
        number = _number(found[1]) if found else None
        if not found or not number:
            raise UserError(f"--target {size!r} is no size. Write 50MB (a million bytes each), 800kB or 1.5GB.")
        return Target(bytes=int(number * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[found[2]]))
    if loss is not None:
        found = re.fullmatch(r"\+?([0-9.]+)\s*%", loss.strip())
        number = _number(found[1]) if found else None
        if number is None:
            raise UserError(
                f"--target-loss {loss!r} is no share. Write +1% for at most a hundredth more bits per byte."
            )
        return Target(rise=number / 100)
    return None


def find_plans(bench: Bench, target: Target, rows: Sequence[Row]) -> list[Row]:
    """What was tried beyond `rows`, at most TRIES plans."""
    shop = bench.workshop
    bench.show.note("looking for formats: what would rounding each map cost?")
    costs = sensitivity(shop.opened.model, shop.windows, bench.show.done)
    candidates = _by_size(shop.opened.model, costs, target.bytes) if target.bytes else None
    tried: list[Row] = []
    budget, low, high = 0, *(min_bytes(shop.opened.model, costs), max_bytes(shop.opened.model, costs))
    for name in NAMES:
        if candidates is not None:
            steps = next(candidates, None)
        else:
            budget = round((low + high) / 2)
            steps = allocate(shop.opened.model, costs, budget)
        if steps is None:
            break
        row = bench.plan(name, steps)
        tried.append(row)
        if row.error:
            break
        if candidates is None:
            low, high = (low, budget) if _rise(row) <= (target.rise or 0.0) else (budget, high)
    return tried


def _by_size(model: LanguageModel, costs: dict[str, Cost], budget: int) -> Iterator[list[PartSpec]]:
    """Plans that fit, as far as can be known before: formats alone, then with less of the model."""
    if (steps := allocate(model, costs, budget)) is not None:
        yield steps
    if "structured" not in METHODS:
        return
    smallest: dict[str, Any] = {"part": "gptq" if "gptq" in METHODS else "round_to_nearest", **LADDER[1]}
    for share in SHARES:
        yield [{"part": "structured", "share": share}, {**smallest, "embedding": EMBEDDING[0]}]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _bits(row: Row) -> float:
    assert row.bits
    return row.bits.value


def _rise(row: Row) -> float:
    return row.rise.value if row.rise else 0.0
