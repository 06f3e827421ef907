"""Hugging Face's folders: config.json, safetensors, tokenizer.json and a chat template."""

from pathlib import Path

from firsthand.checkpoint import files, manifest
from firsthand.errors import UserError
from firsthand.interop.imported import Imported


def fits(path: Path) -> bool:
    """Whether `path` is such a folder. One of ours has a manifest.json beside its config.json."""
    return files.size(path / "config.json") is not None and files.size(path / manifest.NAME) is None


def read(path: Path) -> Imported:
    raise UserError("Hugging Face folders cannot be read yet.")


def write(model: Imported, out: Path, dtype: str) -> list[Path]:
    raise UserError("Hugging Face folders cannot be written yet.")
