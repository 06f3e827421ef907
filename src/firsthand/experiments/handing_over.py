"""What a run of ours leaves as beside the formats of `interop`: an adapter alone, or a model that stands alone."""

from collections.abc import Callable
from pathlib import Path

from firsthand import checkpoint, opened
from firsthand.adapt import peft
from firsthand.adapt.saved import Adapted
from firsthand.errors import UserError
from firsthand.experiments.convert import plain_name, save_as_run
from firsthand.interop.hugging_face.maps import their_maps


def adapter(run: str, out: Path) -> list[Path]:
    """The adapter of a run in the files of the library peft. UserError for a run that has none."""
    saved = checkpoint.load(Path(run))
    adapted = Adapted.of_json(saved.config.get("adapt"), str(saved.path))
    if not adapted.adapter or not adapted.base:
        raise UserError(f"{run} has no adapter over a base, so there is none to write. Export the model: --format hf.")
    if adapted.quantize:
        raise UserError(
            f"The adapter of {run} was learnt over weights in {adapted.quantize}, which are rounded here in another "
            "way than in peft. Export the whole model: --format hf."
        )
    where = adapted.base.found()
    return peft.write_peft(out, adapted.adapter, saved.model, their_maps(opened.find(where)), where)


def whole(run: str, out: Path) -> list[Path]:
    """A run's folder with one checkpoint, in which an adapter has been folded into its base."""
    return sorted(save_as_run(opened.find(run), run, plain_name(out.name), out).iterdir())


OURS: dict[str, tuple[Callable[[str, Path], list[Path]], str]] = {
    "peft": (adapter, "an adapter that peft loads"),
    "firsthand": (whole, "a run that stands alone"),
}
"""Formats by name: what writes them, and what they are in a few words."""
