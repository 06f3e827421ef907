"""NF4: each number goes to the nearest of 16 levels that lie where normally distributed numbers do."""

from typing import Any

from firsthand.compress.quantize import maps_to_round, round_tables
from firsthand.compress.subject import Given, Subject
from firsthand.model.quantized import put
from firsthand.ops.quantized import Quantized
from firsthand.ops.quantized.nf4 import NF4Format


class NF4:
    """w becomes level[code] · s, where s is the largest size in the block of 64 (QLoRA, arXiv 2305.14314, section 3).

    The levels are quantiles of the normal distribution, so that each is used about as often. It looks at weights alone.
    `embedding`: the format of the embedding and of a head of its own, like {part: nf4} or {bits: 8} (null: they stay).
    `targets`: see `linear_maps`.
    """

    def __init__(self, embedding: dict[str, Any] | None = None, targets: str | list[str] = "layers") -> None:
        self.embedding, self.targets = embedding, targets

    def __call__(self, subject: Subject, given: Given) -> None:
        maps = maps_to_round(subject, self.targets)
        for number, (name, part) in enumerate(maps.items(), 1):
            put(subject.model, name, Quantized.of(part.weight, NF4Format()))
            given.done(number / len(maps), name)
        round_tables(subject, self.embedding)
