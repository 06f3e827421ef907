"""config.json: which family a folder's model is of."""

import json
from pathlib import Path
from typing import Any

from firsthand.checkpoint import files
from firsthand.errors import DamagedError, UserError, suggest
from firsthand.interop.families import FAMILIES, Family
from firsthand.interop.families.settings import Settings

LARGEST = 1 << 22
"""Bytes of a JSON file that is no tokenizer."""


def read_json(path: Path, largest: int = LARGEST) -> dict[str, Any]:
    """The table in a file. DamagedError if it is no JSON, no table, or larger than any of its kind."""
    size = files.size(path)
    if size is None or size > largest:
        raise DamagedError(f"{path} is {'missing' if size is None else f'larger than {largest:,} bytes'}.")
    try:
        tree = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} is not valid JSON ({str(error)[:80]}).") from None
    if not isinstance(tree, dict):
        raise DamagedError(f"{path} holds no table.")
    return tree


def read_config(folder: Path) -> tuple[Family, Settings]:
    """The family, and what config.json says of the model. UserError for a model_type that is not known here."""
    path = folder / "config.json"
    tree = read_json(path)
    kind = tree.get("model_type")
    if not isinstance(kind, str):
        raise UserError(f"{path} has no model_type, so it is not the config.json of a Hugging Face model.")
    if kind not in FAMILIES:
        raise UserError(f"{path} is of model_type {kind[:60]!r}, which is not known here. {suggest(kind, FAMILIES)}")
    return FAMILIES[kind], Settings(tree, str(path))
