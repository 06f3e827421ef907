"""A JSON file that holds one table, read as if hostile: bounded in size, and what is wrong is said."""

import json
from pathlib import Path
from typing import Any

from firsthand.errors import DamagedError

LARGEST = 1 << 22
"""Bytes of a file of settings. Tokenizers and indexes of weights are larger, and say so."""


def read_table(path: Path, largest: int = LARGEST) -> dict[str, Any]:
    """The table in a file. DamagedError if it is not there, no JSON, no table, or larger than any of its kind."""
    if not path.is_file():
        raise DamagedError(f"{path} is missing.")
    if path.stat().st_size > largest:
        raise DamagedError(f"{path} is larger than {largest:,} bytes, the most that such a file may have.")
    try:
        table = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} is not valid JSON ({error!s:.100}). Copy it again.") from None
    if not isinstance(table, dict):
        raise DamagedError(f"{path} is JSON but holds no table. Copy it again.")
    return table
