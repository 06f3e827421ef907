"""Mixed precision: maps that suffer most from few bits get more of them, as far as a budget of bytes reaches."""

from collections.abc import Mapping, Sequence
from typing import Any

from firsthand.compress.quantize import maps_to_round, round_tables
from firsthand.compress.quantize.sensitivity import sensitivities
from firsthand.compress.subject import Given, Subject
from firsthand.errors import UserError
from firsthand.model.quantized import put
from firsthand.ops.quantized import FORMATS, Quantized
from firsthand.parts import build

CHOICES = ({"bits": 4, "group": 32}, {"bits": 8})


class Mixed:
    """Each map is rounded alone in each format, and its KL from the full model measured (HAWQ's idea, arXiv 1905.03696,
    with what is measured in place of a bound): small sums of these are what a model of many rounded maps loses.

    Then all begin with the fewest bytes, and again and again the step that takes away most KL a byte is made, while the
    mean stays below `bits` a number, scales included. `choices`: formats, like {bits: 4, group: 32} or {part: nf4}.
    `windows` of `length` tokens of the calibration text are measured on. The table is the subject's `sensitivity`.
    `embedding` and `targets` as in round_to_nearest.
    """

    def __init__(
        self,
        bits: float = 5.5,
        choices: list[dict[str, Any]] | None = None,
        windows: int = 1,
        length: int = 256,
        embedding: dict[str, Any] | None = None,
        targets: str | list[str] = "layers",
    ) -> None:
        specs: Sequence[dict[str, Any]] = CHOICES if choices is None else choices
        if len(specs) < 2 or windows < 1 or length < 2:
            raise UserError("mixed: give at least two choices, one window, and windows of two tokens or more.")
        self.formats = [build("choices", FORMATS, {"part": "affine", **spec}, files=False) for spec in specs]
        self.bits, self.windows, self.length = bits, windows, length
        self.embedding, self.targets = embedding, targets

    def __call__(self, subject: Subject, given: Given) -> None:
        every = maps_to_round(subject, self.targets)
        maps = {name: part for name, part in every.items() if name.startswith("blocks.")}
        loss = sensitivities(
            subject.model, given.windows[: self.windows, : self.length], maps, self.formats, given.done
        )
        size = {name: [Quantized.of(part.weight, each).bytes for each in self.formats] for name, part in maps.items()}
        numbers = sum(part.weight.numel() for part in maps.values())
        taken = chosen(size, loss, self.bits * numbers / 8)
        for name, part in maps.items():
            put(subject.model, name, Quantized.of(part.weight, self.formats[taken[name]]))
            row = {"map": name, "chosen": taken[name], "kl": loss[name], "bytes": size[name]}
            subject.tables.setdefault("sensitivity", []).append(row)
        for number, format in enumerate(self.formats):
            own = [name for name in maps if taken[name] == number]
            subject.notes.append(f"mixed: {len(own)} of {len(maps)} maps in {format}.")
        round_tables(subject, self.embedding)


def chosen(size: Mapping[str, Sequence[int]], loss: Mapping[str, Sequence[float]], budget: float) -> dict[str, int]:
    """For each map the number of its format, so that all bytes stay below the budget and the losses' sum is small.

    Greedy: from the fewest bytes for each, always the change with the largest fall of loss a byte that still fits.
    UserError if the fewest bytes are too many.
    """
    taken = {name: min(range(len(own)), key=own.__getitem__) for name, own in size.items()}
    left = budget - sum(size[name][number] for name, number in taken.items())
    if left < 0:
        raise UserError(
            f"mixed: even the smallest formats take {budget - left:,.0f} bytes, more than the {budget:,.0f} that the "
            "budget allows. Raise bits, or add a smaller choice."
        )
    while True:
        best, most = None, 0.0
        for name, now in taken.items():
            for number, wide in enumerate(size[name]):
                more, fall = wide - size[name][now], loss[name][now] - loss[name][number]
                if fall > 0 and more <= left and fall / max(more, 1) > most:
                    best, most = (name, number, more), fall / max(more, 1)
        if best is None:
            return taken
        taken[best[0]] = best[1]
        left -= best[2]
