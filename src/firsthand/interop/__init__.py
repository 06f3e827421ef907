"""Models from elsewhere, and ours for elsewhere: Hugging Face folders and GGUF files. Nothing in them is ever run."""

from pathlib import Path

from firsthand.interop.imported import Imported

__all__ = ["Imported", "read"]


def read(path: Path) -> Imported | None:
    """The model in a Hugging Face folder or a GGUF file; None if `path` is neither.

    UserError for what is not known here (it says what), DamagedError for what cannot be.
    """
    return None
