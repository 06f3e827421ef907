"""Weights and activations in 8 bits: products of whole numbers, with a scale for each row and each token."""

from typing import Any

from firsthand.compress.quantize import maps_to_round, round_tables
from firsthand.compress.subject import Given, Subject
from firsthand.model.quantized import put
from firsthand.ops.quantized import Quantized
from firsthand.ops.quantized.int8_rows import Int8Rows


class Int8Dynamic:
    """y_ij = (Σ_k x̂_ik ŵ_jk) · s_i · t_j, x̂ and ŵ whole numbers from -127 to 127 (LLM.int8(), arXiv 2208.07339, eq. 4).

    s_i is the largest size of token i over 127, found as it comes ("dynamic"), and t_j that of the weight's row j. It
    looks at weights alone. `scales`: the precision of t. `embedding` and `targets` as in round_to_nearest.
    """

    def __init__(
        self, scales: str = "fp16", embedding: dict[str, Any] | None = None, targets: str | list[str] = "layers"
    ) -> None:
        self.format = Int8Rows(scales)
        self.embedding, self.targets = embedding, targets

    def __call__(self, subject: Subject, given: Given) -> None:
        maps = maps_to_round(subject, self.targets)
        for number, (name, part) in enumerate(maps.items(), 1):
            put(subject.model, name, Quantized.of(part.weight, self.format))
            given.done(number / len(maps), name)
        round_tables(subject, self.embedding)
