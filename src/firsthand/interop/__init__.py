"""Models from elsewhere, and ours for elsewhere: Hugging Face folders and GGUF files. Nothing in them is ever run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from firsthand.interop import gguf, hugging_face
from firsthand.interop.imported import Imported

__all__ = ["EXPORTS", "Export", "Imported", "read"]


@dataclass(frozen=True)
class Export:
    """A format that models leave in. `write(model, out, dtype)` makes `out`, which is not there yet, and returns the
    files; UserError names the field of a model that the format cannot express. `dtypes`: of the weights, the usual
    one first. `what`: `out` in a few words."""

    write: Callable[[Imported, Path, str], list[Path]]
    dtypes: tuple[str, ...]
    what: str


EXPORTS: dict[str, Export] = {
    "hf": Export(hugging_face.write, ("fp32", "bf16", "fp16"), "a folder that transformers opens"),
    "gguf": Export(gguf.write, tuple(gguf.DTYPES), "a file for llama.cpp"),
}


def read(path: Path) -> Imported | None:
    """The model in a Hugging Face folder or a GGUF file; None if `path` is neither.

    UserError for what is not known here (it says what), DamagedError for what cannot be.
    """
    if gguf.fits(path):
        return gguf.read(path)
    return hugging_face.read(path) if hugging_face.fits(path) else None
