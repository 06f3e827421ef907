"""Saving and loading: one folder a checkpoint, committed by one rename, no pickle anywhere.

    step-000000123/
      model.safetensors      the weights by parameter name; a shared one once
      optimizer.safetensors  its state as {parameter}.{slot}
      loop.json              the rest of the loop's state      config.json     the resolved tree of the run
      tokenizer.json         what the ids mean                 manifest.json   size and SHA-256 of all the above

`save` writes into `.tmp-…`, waits until each file and the folder are on the disk, renames, and waits for the name. A
crash at any moment leaves either the whole checkpoint or none.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from firsthand.checkpoint import files, manifest, tidy
from firsthand.checkpoint.tensors import read_safetensors, write_safetensors
from firsthand.errors import DamagedError, UserError

Report = Callable[[str], object]


@dataclass(frozen=True)
class Checkpoint:
    """What was saved at `step` (steps done), read back from the folder `path`. `sha256` names this very content."""

    path: Path
    step: int
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    loop: dict[str, Any]
    config: dict[str, Any]
    sha256: str


def to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")


def save(
    root: Path,
    step: int,
    model: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor],
    loop: dict[str, Any],
    config: dict[str, Any],
    tokenizer: Path | bytes,
    keep: int = 2,
    report: Report = to_stderr,
) -> Path:
    """Save to `root`/step-NNNNNNNNN and return that folder; older checkpoints beyond `keep` (at least 2) are deleted.

    `tokenizer`: the content of its tokenizer.json, or where that lies. `report` is told of trouble that does not
    concern this checkpoint. A checkpoint of the same step is replaced. Raises OSError if the disk refuses (nothing is
    changed then), UserError if another process writes to `root`.
    """
    assert 0 <= step < 10**9, f"step {step} has no name of nine digits"
    folder = root / f"step-{step:09}"
    try:
        content = tokenizer if isinstance(tokenizer, bytes) else tokenizer.read_bytes()
        with tidy.claim(root):
            _commit(root, folder, step, model, optimizer, loop, config, content)
            _after(root, folder, max(2, keep), report)
    except OSError as error:
        left = [path.name for _, path in tidy.found(root)]
        still = f"{left[0]} is still there, unchanged" if left else "there is no earlier one"
        reason = f"{error.strerror or error}; the checkpoint of step {step} was not saved ({still})"
        raise OSError(error.errno, reason, error.filename or str(root)) from error
    return folder


def read(path: Path, verify: bool = True, optimizer: bool = True, expect_sha256: str | None = None) -> Checkpoint:
    """Load one checkpoint folder. Every byte is hashed while it is read; DamagedError if anything is not as saved.

    `optimizer=False` leaves out the optimizer's state (and its reading). `verify=False` checks sizes only.
    `expect_sha256`: the `sha256` that the checkpoint is known to have, for files that came from others.
    """
    path = Path(path)
    listed = manifest.read(path)
    if expect_sha256 is not None and listed["self"] != expect_sha256.lower():
        raise DamagedError(f"{path} is not the checkpoint asked for: its SHA-256 is {listed['self']}.")
    hashes = {name: entry["sha256"] if verify else None for name, entry in listed["files"].items()}
    _bytes(path / "tokenizer.json", hashes["tokenizer.json"])
    config = _json(path / "config.json", hashes["config.json"])
    loop = _json(path / "loop.json", hashes["loop.json"])
    weights = read_safetensors(path / "model.safetensors", hashes["model.safetensors"])
    state = read_safetensors(path / "optimizer.safetensors", hashes["optimizer.safetensors"]) if optimizer else {}
    return Checkpoint(path, listed["step"], weights, state, loop, config, listed["self"])


def latest(root: Path, report: Report = to_stderr, optimizer: bool = True) -> Checkpoint | None:
    """The newest checkpoint in `root` that is whole and unaltered, or None.

    Each damaged one on the way is renamed to bad-step-… and reported in one line. Raises OSError if one cannot be
    read for other reasons: an older one might be the wrong one.
    """
    root = Path(root)
    names = files.names(root)
    if any(name.startswith((".tmp-", "old-")) for name in names):
        with contextlib.suppress(OSError), files.lock(root, 0.0) as mine:  # not in a folder that may only be read
            if mine:
                tidy.clear_up(root)
    for step, folder in tidy.found(root):
        try:
            checkpoint = read(folder, optimizer=optimizer)
            if checkpoint.step != step:
                raise DamagedError(f"{folder} holds the checkpoint of step {checkpoint.step}.")
        except DamagedError as reason:
            tidy.set_aside(folder, reason, report)
            continue
        return checkpoint
    return None


def load(path: Path, report: Report = to_stderr, optimizer: bool = False) -> Checkpoint:
    """The checkpoint that `path` means: itself, or the newest valid one of a run (or folder of checkpoints).

    Raises UserError if there is none, DamagedError if the one that was named is damaged.
    """
    path = Path(path)
    if files.size(path / manifest.NAME) is not None:
        return read(path, optimizer=optimizer)
    root = _root(path)
    checkpoint = latest(root, report, optimizer)
    if checkpoint is None:
        raise DamagedError(f"No checkpoint in {root} is intact. Damaged ones are kept as bad-step-….")
    return checkpoint


def resolve(path: Path) -> Path:
    """The folder of the checkpoint that `path` means: itself, or the newest one of a run (or folder of checkpoints).

    Content is not checked, that is done on reading. UserError, with what was looked for, if there is none.
    """
    path = Path(path)
    if files.size(path / manifest.NAME) is not None:
        return path
    return tidy.found(_root(path))[0][1]


def _root(path: Path) -> Path:
    """The folder with checkpoints, at least one, that `path` is or has."""
    for root in (path, path / "checkpoints"):
        if tidy.found(root):
            return root
    if not path.exists():
        raise UserError(f"There is no {path}. Give a run folder (runs/NAME) or one of its checkpoints.")
    raise UserError(
        f"There is no checkpoint in {path}: looked for {path / manifest.NAME}, {path / 'step-*'} and "
        f"{path / 'checkpoints' / 'step-*'}. Train first, or give another folder."
    )


def _commit(
    root: Path,
    folder: Path,
    step: int,
    model: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor],
    loop: dict[str, Any],
    config: dict[str, Any],
    tokenizer: bytes,
) -> None:
    part = tidy.temporary(root)
    try:
        files.make_folder(part)
        entries = {
            "model.safetensors": write_safetensors(part / "model.safetensors", model),
            "optimizer.safetensors": write_safetensors(part / "optimizer.safetensors", optimizer),
            "loop.json": files.write(part / "loop.json", [_dump(loop)]),
            "config.json": files.write(part / "config.json", [_dump(config)]),
            "tokenizer.json": files.write(part / "tokenizer.json", [tokenizer]),
        }
        manifest.write(part, step, entries)
        files.sync_folder(part)
        if files.names(folder):
            files.move(folder, folder.with_name(f"old-{folder.name}"))
        files.move(part, folder)
    except BaseException:
        with contextlib.suppress(OSError):
            tidy.clear_up(root)
        raise


def _after(root: Path, folder: Path, keep: int, report: Report) -> None:
    """What follows the rename; if it fails, the checkpoint is there all the same, and so are the older ones."""
    hint = tidy.temporary(root)
    try:
        files.sync_folder(root)
        files.write(hint, [folder.name.encode() + b"\n"])
        files.move(hint, root / "latest")
        tidy.clear_up(root)
        tidy.retain(root, folder, keep, report)
    except OSError as error:
        with contextlib.suppress(OSError):
            files.remove(hint)
        report(f"{folder} was saved, but then the disk failed: {error.strerror}. Older checkpoints are kept.")


def _dump(tree: dict[str, Any]) -> bytes:
    return json.dumps(tree, indent=1, ensure_ascii=False).encode() + b"\n"


def _json(path: Path, sha256: str | None) -> dict[str, Any]:
    try:
        tree = json.loads(_bytes(path, sha256))
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} is damaged: {error}.") from None
    if not isinstance(tree, dict):
        raise DamagedError(f"{path} is damaged: it holds no table.")
    return tree


def _bytes(path: Path, sha256: str | None) -> bytes:
    with files.Reader(path) as reader:
        content = reader.take(reader.size)
        if sha256 is not None:
            manifest.check_hash(path, reader.sha256(), sha256)
    return content
