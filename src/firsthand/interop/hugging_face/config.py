"""config.json: which family a folder's model is of."""

from pathlib import Path

from firsthand.errors import UserError, suggest
from firsthand.interop.families import FAMILIES, Family
from firsthand.interop.families.settings import Settings
from firsthand.tables import read_table


def read_config(folder: Path) -> tuple[Family, Settings]:
    """The family, and what config.json says of the model. UserError for a model_type that is not known here."""
    path = folder / "config.json"
    tree = read_table(path)
    kind = tree.get("model_type")
    if not isinstance(kind, str):
        raise UserError(f"{path} has no model_type, so it is not the config.json of a Hugging Face model.")
    if kind not in FAMILIES:
        raise UserError(f"{path} is of model_type {kind[:60]!r}, which is not known here. {suggest(kind, FAMILIES)}")
    return FAMILIES[kind], Settings(tree, str(path))
