"""Numbers in fewer bits: how a weight is rounded, and what is done so that rounding costs less."""

from typing import Any

from firsthand.compress.subject import Subject, linear_maps
from firsthand.errors import UserError
from firsthand.model.quantized import put
from firsthand.ops.quantized import FORMATS, Quantized
from firsthand.parts import build


def maps_to_round(subject: Subject, targets: str | list[str]) -> dict[str, Any]:
    """The maps that `targets` means, by name (see `linear_maps`). UserError if there is none.

    Weights that are no linear maps (experts stand in stacks) stay in full, and a note says so.
    """
    maps = linear_maps(subject.model, targets)
    if not maps:
        raise UserError(
            "There is no linear map to round: the weights stand in few bits already, or the model has none. Take one "
            "rounding step in a plan, and name other targets in a second."
        )
    stacks = [name for name, weight in subject.model.named_parameters() if weight.ndim > 2]
    note = f"{len(stacks)} stacks of matrices stay in full ({', '.join(stacks[:1])}, …): only linear maps are rounded."
    if stacks and note not in subject.notes:
        subject.notes.append(note)
    return maps


def round_tables(subject: Subject, spec: dict[str, Any] | None) -> None:
    """The embedding, and a head of its own, to the nearest in the format that `spec` has the fields of: those of affine
    unless it names another `part`. None leaves them in full."""
    if spec is None:
        return
    format = build("embedding", FORMATS, {"part": "affine", **spec}, files=False)
    model = subject.model
    put(model, "embedding", Quantized.of(model.embedding.weight, format))
    if model.unembedding is not None:
        put(model, "unembedding", Quantized.of(model.unembedding.weight, format))
