"""Models on the Hugging Face hub, by name. Only files that are data are fetched."""

import re
from pathlib import Path

from firsthand.errors import UserError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
PATTERNS = ("*.json", "*.safetensors", "*.jinja", "*.txt")


def fetch(name: str, folder: Path) -> None:
    """Put the files of the model `name` into `folder`."""
    raise UserError("The hub cannot be asked yet.")
