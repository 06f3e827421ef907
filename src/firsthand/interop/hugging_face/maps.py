"""What Hugging Face calls the linear maps of a model of ours: what adapters of other libraries are fastened to."""

from firsthand.errors import UserError
from firsthand.interop.families.full import in_full
from firsthand.interop.families.rules import steps
from firsthand.interop.hugging_face.outgoing import express
from firsthand.interop.imported import Imported


def their_maps(model: Imported) -> dict[str, list[tuple[str, int]]]:
    """By their names of linear maps: those of ours that each holds, side by side, with the size of what they give.

    UserError if no family can express the model, or if only one whose channels stand in another order can.
    """
    full = in_full(model.fields, model.vocab_size)
    if full["position"].get("layout") == "interleaved":
        raise UserError(
            "This model's RoPE turns neighbouring channels, and Hugging Face's models turn those of two halves: their "
            "queries and keys are not ours in the same order, so an adapter of one does not fit the other."
        )
    family, _ = express(full, model.vocab_size)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.weights.items()}
    return {
        step.theirs[0].removesuffix(".weight"): [(name.removesuffix(".weight"), shapes[name][0]) for name in step.ours]
        for step in steps(family.rules, shapes)
        if len(step.theirs) == 1 and step.ours[0].endswith(".weight") and len(shapes[step.ours[0]]) == 2
    }
