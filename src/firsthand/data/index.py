"""The index of a folder of token shards: what files there are, how long they are, and their SHA-256."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firsthand.errors import DamagedError, UserError

INDEX = "index.json"
SCHEMA = "firsthand.tokens/1"
FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
KEYS = {"schema", "tokens", "documents", "vocab_size", "end_of_text", "fingerprint", "files", "self"}

AGAIN = "Make the folder again from the text."


def write_index(folder: Path, fields: dict[str, Any]) -> None:
    """Write `fields` with size and hash of every file that lies in `folder`, and the hash of the index itself."""
    files = {path.name: describe(path) for path in sorted(folder.iterdir())}
    index = {"schema": SCHEMA, **fields, "files": files}
    index["self"] = own_hash(index)
    with (folder / INDEX).open("w", encoding="utf-8") as file:
        json.dump(index, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def read_index(folder: Path) -> dict[str, Any]:
    """The index of `folder`, its own hash checked. UserError if there is none, DamagedError if it was altered."""
    path = folder / INDEX
    if not path.is_file():
        what = f"has no {INDEX}, so it is not a folder of token shards" if folder.is_dir() else "does not exist"
        raise UserError(f"{folder} {what}. Token shards are written by the tokenizing step of a run.")
    try:
        index = json.loads(path.read_bytes())
    except ValueError as error:
        raise DamagedError(f"{path} is not valid JSON ({error}). {AGAIN}") from None
    if not isinstance(index, dict) or index.get("self") != own_hash(index) or set(index) != KEYS:
        raise DamagedError(f"{path} is not what was written: its own hash does not fit. {AGAIN}")
    if index["schema"] != SCHEMA:
        raise UserError(f"{path} is of the kind {index['schema']!r}, this version reads {SCHEMA!r}. {AGAIN}")
    return index


def check(folder: Path, name: str, expected: dict[str, Any], content: bool) -> None:
    """Raise DamagedError if the file's size, or with `content` its hash, is not as expected."""
    if not FILE_NAME.fullmatch(name):
        raise DamagedError(f"{folder / INDEX} names a file {name!r} that no writer of ours makes. {AGAIN}")
    path = folder / name
    if not path.is_file():
        raise DamagedError(f"{path} is missing. {AGAIN}")
    size = path.stat().st_size
    if size != expected["bytes"]:
        raise DamagedError(f"{path} is {size:,} bytes long, it was written with {expected['bytes']:,}. {AGAIN}")
    if content and describe(path)["sha256"] != expected["sha256"]:
        raise DamagedError(f"{path} was altered: its SHA-256 is not the one in {INDEX}. {AGAIN}")


def load_array(path: Path) -> NDArray[Any]:
    """The one-dimensional array in an NPY file, memory-mapped. Raises DamagedError for anything else."""
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DamagedError(f"{path} is not a readable NPY file ({error}). {AGAIN}") from None
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DamagedError(f"{path} holds {array.dtype} of shape {array.shape}, not a row of ids. {AGAIN}")
    return array


def describe(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def own_hash(index: dict[str, Any]) -> str:
    rest = {key: value for key, value in index.items() if key != "self"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
