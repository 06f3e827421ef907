"""A format for each map within a budget of bytes, so that all of it costs least.

From the largest formats on, the step down that costs least for each byte it saves is taken until all fits.
"""

from typing import Any

from firsthand.compress import METHODS
from firsthand.compress.saved import contents
from firsthand.experiments.compression.sensitivity import LADDER, Cost
from firsthand.model.language_model import LanguageModel
from firsthand.ops.quantized import Quantized
from firsthand.ops.quantized.affine import Affine
from firsthand.parts import PartSpec

EMBEDDING: tuple[dict[str, Any], ...] = ({"bits": 8}, {"bits": 4, "group": 32, "symmetric": False})
"""Of the table of tokens; the second only where the first leaves no room."""

HEADER = 160
"""Bytes, about, that a file says of each tensor."""


def rest_bytes(model: LanguageModel, costs: dict[str, Cost], embedding: dict[str, Any]) -> int:
    """Bytes of all that is no map: the tables in few bits, the rest as files keep it."""
    tables = {"embedding": model.embedding, "unembedding": model.unembedding}
    there = {name: part for name, part in tables.items() if part is not None}
    apart = {f"{name}.weight" for name in (*costs, *there)}
    full = sum(
        tensor.numel() * tensor.element_size() for name, tensor in contents(model)[0].items() if name not in apart
    )
    names = HEADER * (3 * len(apart) + len(list(model.parameters())))
    return names + full + sum(Quantized.of(part.weight, Affine(**embedding)).bytes for part in there.values())


def min_bytes(model: LanguageModel, costs: dict[str, Cost]) -> int:
    return rest_bytes(model, costs, EMBEDDING[-1]) + sum(cost.bytes[-1] for cost in costs.values())


def max_bytes(model: LanguageModel, costs: dict[str, Cost]) -> int:
    return rest_bytes(model, costs, EMBEDDING[0]) + sum(cost.bytes[0] for cost in costs.values())


def allocate(model: LanguageModel, costs: dict[str, Cost], budget: int) -> list[PartSpec] | None:
    """The plan that gives each map its format within the budget of bytes; None if even the smallest do not fit."""
    smallest = sum(cost.bytes[-1] for cost in costs.values())
    sizes = [rest_bytes(model, costs, embedding) for embedding in EMBEDDING]
    fitting = [place for place, size in enumerate(sizes) if size + smallest <= budget]
    if not fitting:
        return None
    chosen = dict.fromkeys(costs, 0)
    total = sizes[fitting[0]] + sum(cost.bytes[0] for cost in costs.values())
    while total > budget:
        name = min(
            (name for name in costs if chosen[name] < len(LADDER) - 1), key=lambda one: _slope(costs, chosen, one)
        )
        cost = costs[name]
        total -= cost.bytes[chosen[name]] - cost.bytes[chosen[name] + 1]
        chosen[name] += 1
    return _steps(chosen, EMBEDDING[fitting[0]])


def _slope(costs: dict[str, Cost], chosen: dict[str, int], name: str) -> float:
    """Nats for each byte that the next smaller format saves."""
    cost, place = costs[name], chosen[name]
    return (cost.nats[place + 1] - cost.nats[place]) / max(1, cost.bytes[place] - cost.bytes[place + 1])


def _steps(chosen: dict[str, int], embedding: dict[str, Any]) -> list[PartSpec]:
    """A step for each format that is used. GPTQ rounds 4 bits where it is there; the first step has the tables."""
    steps: list[PartSpec] = []
    for place, form in enumerate(LADDER):
        targets = [name for name, other in chosen.items() if other == place]
        if targets:
            part = "gptq" if form["bits"] == 4 and "gptq" in METHODS else "round_to_nearest"
            steps.append({"part": part, **form, "targets": targets})
    last = steps[-1]
    assert isinstance(last, dict)
    steps[-1] = last | {"embedding": embedding}
    return steps
