"""A line of the table: what a plan gives and costs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from firsthand.evaluate.bootstrap import Figure, bootstrap
from firsthand.evaluate.texts import Passage, report
from firsthand.experiments.compression.layers import Layers
from firsthand.experiments.compression.speed import Rates
from firsthand.parts import PartSpec

ORIGINAL, BF16 = "original", "original-bf16"


@dataclass(frozen=True)
class Row:
    """A plan's figures. `bits`: per byte of the text. `rise`: the share by which they are more than the original's on
    the same passages; None of the original itself. `bytes`: of the weights on the disk. `tasks`: by task and metric.

    `fronts`: "bytes" or "decode" where no other row is both better and smaller, or better and faster. `error`: why
    there are no figures. `unsuited`: that is because the method does not suit such a model, and no fault of the plan.
    """

    plan: str
    steps: list[PartSpec] = field(default_factory=list)
    bits: Figure | None = None
    rise: Figure | None = None
    bytes: int = 0
    rates: Rates | None = None
    tasks: dict[str, dict[str, Figure]] = field(default_factory=dict)
    fronts: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    layers: Layers | None = None
    seconds: float | None = None
    error: str | None = None
    unsuited: bool = False

    @property
    def why_not(self) -> str:
        """Why there are no figures, in a sentence; empty if there are some."""
        if not self.error:
            return ""
        return f"{self.plan} {'does not suit this model' if self.unsuited else 'failed'}: {self.error}"

    def beside(self, other: str, kind: str) -> float | None:
        """How many times as fast as the row called `other`, in the same rounds."""
        return self.rates.beside[other][kind] if self.rates and other in self.rates.beside else None

    def to_json(self) -> dict[str, Any]:
        rates = self.rates
        return {
            "plan": self.plan,
            "bits_per_byte": self.bits.value if self.bits else None,
            "bytes": self.bytes or None,
            "prefill_tokens_per_second": rates.prefill if rates else None,
            "decode_tokens_per_second": rates.decode if rates else None,
            "bits_per_byte_interval": [self.bits.low, self.bits.high] if self.bits else None,
            "rise": asdict(self.rise) if self.rise else None,
            "peak_memory_bytes": rates.memory if rates else None,
            "speed_beside": rates.beside if rates else {},
            "threads": rates.threads if rates else None,
            "computes_in": rates.precision if rates else None,
            "tasks": {task: {name: asdict(one) for name, one in own.items()} for task, own in self.tasks.items()},
            "pareto": list(self.fronts),
            "steps": self.steps,
            "notes": self.notes,
            "seconds_to_make": self.seconds,
            "error": self.error,
            "unsuited": self.unsuited,
        }


def quality(passages: Sequence[Passage], original: Sequence[Passage] | None, seed: int) -> tuple[Figure, Figure | None]:
    """Bits per byte, and the rise beside the original's passages as a share, both with intervals from drawing passages
    again: pairs are drawn, so that what is hard in both cancels out."""
    bits = report(passages, seed).bits_per_byte
    if original is None:
        return bits, None
    more = [one.nats - base.nats for one, base in zip(passages, original, strict=True)]
    return bits, bootstrap(more, [base.nats for base in original], seed)


def with_fronts(rows: Sequence[Row]) -> list[Row]:
    """The rows, those marked that no other beats in both: bits and bytes, bits and speed of writing."""
    return [replace(row, fronts=_fronts(row, rows)) for row in rows]


def _fronts(row: Row, rows: Sequence[Row]) -> tuple[str, ...]:
    found = []
    if row.bits and not any(_beats(_size(one), _size(row)) for one in rows if one.bits):
        found.append("bytes")
    timed = [one for one in rows if one.bits and one.rates]
    if row in timed and not any(_beats(_slowness(one), _slowness(row)) for one in timed):
        found.append("decode")
    return tuple(found)


def _size(row: Row) -> tuple[float, float]:
    assert row.bits
    return row.bits.value, float(row.bytes)


def _slowness(row: Row) -> tuple[float, float]:
    assert row.bits
    assert row.rates
    return row.bits.value, -row.rates.decode


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """No worse in both, and better in one."""
    return one[0] <= other[0] and one[1] <= other[1] and one != other
