"""AWQ: channels with large inputs are made larger before rounding, and their inputs smaller by as much."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from firsthand.compress.calibration import Gram, layers
from firsthand.compress.quantize import maps_to_round, round_tables
from firsthand.compress.quantize.folding import scale_channels, source_of
from firsthand.compress.quantize.grids import best_grid
from firsthand.compress.subject import Given, Subject
from firsthand.errors import UserError
from firsthand.model.quantized import put
from firsthand.ops.quantized import Quantized
from firsthand.ops.quantized.affine import Affine

LEAST = 1e-4
"""Of a scale, beside the middle one of its group."""


class Inputs(Gram):
    """And the sum of sizes of each channel."""

    def __init__(self, d_in: int) -> None:
        super().__init__(d_in)
        self.sum = torch.zeros(d_in, dtype=torch.float64)

    def add(self, x: Float[Tensor, "rows d_in"]) -> None:
        super().add(x)
        self.sum += x.double().abs().sum(0)


class AWQ:
    """W X = (W · s)(X / s), and s = mean|X|^a protects what matters (Lin et al., arXiv 2306.00978, eq. 4 and 5).

    Maps that read the same input share s. `steps` exponents a from 0 to 1 are tried; the best has the smallest error
    of the maps' outputs, each over the size of that output. 1 / s goes into the part before, which folding.py finds;
    maps without such a part keep s = 1. Then all are rounded to the nearest; `search` chooses each group's range
    (grids.py). `bits`, `group`, `symmetric`, `scales`, `reach`: as in ops/quantized/affine.py. `embedding` and
    `targets` as in round_to_nearest.
    """

    def __init__(
        self,
        bits: int = 4,
        group: int | None = 128,
        symmetric: bool = False,
        scales: str = "fp16",
        reach: float | None = None,
        steps: int = 20,
        search: bool = True,
        embedding: dict[str, Any] | None = None,
        targets: str | list[str] = "layers",
    ) -> None:
        if steps < 1:
            raise UserError(f"awq: steps={steps} tries no exponent. 20 is the paper's.")
        self.format = Affine(bits, group, symmetric, scales, reach)
        self.steps, self.search, self.embedding, self.targets = steps, search, embedding, targets

    def __call__(self, subject: Subject, given: Given) -> None:
        chosen = maps_to_round(subject, self.targets)
        plain = groups = 0
        for layer in layers(subject.model, given.windows, given.done):
            found = layer.gather(Inputs)
            importance = {name: inputs.total.diagonal().clone() for name, inputs in found.items()}
            for names in layer.readers():
                source = source_of(layer, names) if chosen.keys() & set(names) else None
                groups, plain = groups + 1, plain + (source is None)
                if source is not None:
                    s = self.scales_of([layer.maps[name].weight for name in names], found[names[0]])
                    scale_channels(layer, source, names, s)
                    importance |= {name: importance[name] / s.double().square() for name in names}
            for name in chosen.keys() & layer.maps.keys():
                put(subject.model, name, self.rounded(layer.maps[name].weight, importance[name]))
        for name in [name for name in chosen if not name.startswith("blocks.")]:
            put(subject.model, name, Quantized.of(chosen[name].weight, self.format))
        if plain:
            subject.notes.append(
                f"awq: {plain} of {groups} groups of maps have no part before them that could take their scales; they "
                "are rounded as they are."
            )
        round_tables(subject, self.embedding)

    @torch.no_grad()
    def scales_of(self, weights: list[Tensor], inputs: Inputs) -> Float[Tensor, " d_in"]:
        """The best s for maps that read the same."""
        gram, sizes = inputs.total.float(), (inputs.sum / max(inputs.rows, 1)).float()
        best, least = torch.ones_like(sizes), float("inf")
        energy = [float((weight @ gram * weight).sum()) for weight in weights]
        for number in range(self.steps + 1):
            s = sizes.pow(number / self.steps).clamp_min(LEAST)
            s = s / (s.max() * s.min()).sqrt()
            errors = [Quantized.of(weight * s, self.format).full() / s - weight for weight in weights]
            lost = [float((error @ gram * error).sum()) for error in errors]
            total = sum(part / whole for part, whole in zip(lost, energy, strict=True) if whole > 0)
            if total < least:
                best, least = s, total
        return best

    def rounded(self, weight: Float[Tensor, "d_out d_in"], importance: Float[Tensor, " d_in"]) -> Quantized:
        """To the nearest, in ranges that suit the inputs."""
        if not self.search:
            return Quantized.of(weight, self.format)
        scales, zeros = best_grid(self.format, weight, importance)
        codes = self.format.nearest(weight, scales, zeros)
        return Quantized(self.format, (weight.shape[0], weight.shape[1]), self.format.keep(codes, scales, zeros))
