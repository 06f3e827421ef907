"""The manifest: size and SHA-256 of every file of a checkpoint, and of the manifest itself."""

import hashlib
import json
from pathlib import Path
from typing import Any

from firsthand.checkpoint import files
from firsthand.errors import DamagedError, UserError

NAME = "manifest.json"
SCHEMA = "firsthand.checkpoint/1"
FILES = ("model.safetensors", "optimizer.safetensors", "loop.json", "config.json", "tokenizer.json")
LIMIT = 1 << 20


def write(folder: Path, step: int, entries: dict[str, dict[str, Any]]) -> None:
    """Write the manifest; `entries` holds what `files.write` returned for each file."""
    assert set(entries) == set(FILES), f"a checkpoint is made of {FILES}"
    manifest = {"schema": SCHEMA, "step": step, "files": entries}
    files.write(folder / NAME, [_text({**manifest, "self": _own_hash(manifest)})])


def read(folder: Path) -> dict[str, Any]:
    """The manifest of a checkpoint. Raises DamagedError unless it is byte for byte what `write` wrote, and every file
    is there with its size; their content is not looked at. UserError if another version of firsthand wrote it."""
    path = folder / NAME
    if files.size(path) is None:
        raise DamagedError(f"{folder} is no whole checkpoint: it has no {NAME}.")
    with files.Reader(path) as reader:
        if reader.size > LIMIT:
            raise DamagedError(f"{path} is damaged: {reader.size:,} bytes long.")
        text = reader.take(reader.size)
    try:
        manifest = json.loads(text)
        intact = manifest["self"] == _own_hash(manifest) and text == _text(manifest)
    except (ValueError, TypeError, KeyError, RecursionError):
        intact = False
    if not intact:
        raise DamagedError(f"{path} was altered or is incomplete: its own hash does not fit.")
    if manifest["schema"] != SCHEMA:
        raise UserError(f"{path} is of the kind {manifest['schema']!r}; this version of firsthand reads {SCHEMA!r}.")
    if set(manifest["files"]) != set(FILES):
        raise DamagedError(f"{path} lists other files than {', '.join(FILES)}.")
    for name, entry in manifest["files"].items():
        _check_size(folder / name, entry["bytes"])
    assert isinstance(manifest, dict)
    return manifest


def verify(folder: Path) -> dict[str, Any]:
    """Check every byte of a checkpoint. Returns the manifest or raises DamagedError."""
    manifest = read(folder)
    for name, entry in manifest["files"].items():
        check_hash(folder / name, files.sha256(folder / name), entry["sha256"])
    return manifest


def check_hash(path: Path, found: str, expected: str) -> None:
    if found == expected:
        return
    if path.name == "tokenizer.json":
        raise DamagedError(
            f"{path} is a tokenizer that does not belong to the checkpoint: its SHA-256 is not the one stored in "
            f"{NAME}. Put back the tokenizer.json that the run was trained with."
        )
    raise DamagedError(f"{path} was altered: its SHA-256 is not the one in {NAME}.")


def _check_size(path: Path, expected: int) -> None:
    size = files.size(path)
    if size is None:
        raise DamagedError(f"{path} is missing from the checkpoint.")
    if size != expected and path.name != "tokenizer.json":
        raise DamagedError(f"{path} is {size:,} bytes long, it was saved with {expected:,}.")
    if size != expected:
        check_hash(path, "another size", str(expected))


def _own_hash(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(_text({key: value for key, value in manifest.items() if key != "self"})).hexdigest()


def _text(manifest: dict[str, Any]) -> bytes:
    return json.dumps(manifest, indent=1, sort_keys=True).encode() + b"\n"
