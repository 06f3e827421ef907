"""Round to nearest: each number goes to the nearest of evenly spaced levels, and nothing else is asked."""

from typing import Any

from firsthand.compress.quantize import maps_to_round, round_tables
from firsthand.compress.subject import Given, Subject
from firsthand.model.quantized import put
from firsthand.ops.quantized import Quantized
from firsthand.ops.quantized.affine import Affine


class RoundToNearest:
    """code = round(w / s) + z, kept within `bits` bits, and w becomes (code - z) · s (arXiv 1712.05877, eq. 1).

    It looks at weights alone: no text is read. `bits`, `group`, `symmetric`, `scales` and `reach` are those of
    ops/quantized/affine.py; 8 bits and a scale a row are what most call "int8 weight-only". `embedding`: the format of
    the embedding and of a head of its own, like {bits: 8} (null: they stay). `targets`: see `linear_maps`.
    """

    def __init__(
        self,
        bits: int = 8,
        group: int | None = None,
        symmetric: bool = True,
        scales: str = "fp16",
        reach: float | None = None,
        embedding: dict[str, Any] | None = None,
        targets: str | list[str] = "layers",
    ) -> None:
        self.format = Affine(bits, group, symmetric, scales, reach)
        self.embedding, self.targets = embedding, targets

    def __call__(self, subject: Subject, given: Given) -> None:
        maps = maps_to_round(subject, self.targets)
        for number, (name, part) in enumerate(maps.items(), 1):
            put(subject.model, name, Quantized.of(part.weight, self.format))
            given.done(number / len(maps), name)
        round_tables(subject, self.embedding)
