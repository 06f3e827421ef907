"""The one door to the disk: all that a checkpoint does there goes through these few functions.

Tests replace `os` in this module to record every operation, to let any of them fail, and to stop after any of them.
"""

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

CHUNK = 1 << 24


def make_folder(path: Path) -> None:
    """Make `path` and what is missing above it, so that a power cut does not take the names away again."""
    if os.path.isdir(path):
        return
    make_folder(path.parent)
    os.mkdir(path)
    sync_folder(path.parent)


def write(path: Path, parts: Iterable[bytes | memoryview]) -> dict[str, Any]:
    """Write a new file and wait until it is on the disk. Returns its size and SHA-256, hashed on the way."""
    hasher, size = hashlib.sha256(), 0
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        for part in parts:
            hasher.update(part)
            size += len(part)
            rest = memoryview(part)
            while rest:  # the system may take less than it was offered
                rest = rest[os.write(file, rest[:CHUNK]) :]
        os.fsync(file)
    finally:
        os.close(file)
    return {"bytes": size, "sha256": hasher.hexdigest()}


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk. (Windows has no such call and needs none.)"""
    if os.name == "nt":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def move(source: Path, target: Path) -> None:
    """Rename within one folder: at any moment one of both names is there, whole. A target file is replaced."""
    os.replace(source, target)


def remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it."""
    if not os.path.isdir(path) or os.path.islink(path):
        os.unlink(path)
        return
    for name in os.listdir(path):
        remove(path / name)
    os.rmdir(path)


def names(folder: Path) -> list[str]:
    """What lies in a folder, sorted; nothing if there is no such folder."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def size(path: Path) -> int | None:
    """In bytes; None if there is no such file."""
    return os.stat(path).st_size if os.path.isfile(path) else None


class Reader:
    """A file that is read from front to back and hashed on the way."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = os.stat(path).st_size
        self._hasher = hashlib.sha256()
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115

    def take(self, count: int) -> bytes:
        """The next `count` bytes, which the caller has checked against `size`."""
        assert count <= self.size, "a count from the file is checked before memory is taken"
        buffer = bytearray(count)
        self.fill(memoryview(buffer))
        return bytes(buffer)

    def fill(self, buffer: memoryview) -> None:
        """Read as many bytes as `buffer` holds into it."""
        while buffer:
            count = self._file.readinto(buffer[:CHUNK])
            if not count:
                raise OSError(errno.EIO, "The file became shorter while it was read", str(self.path))
            self._hasher.update(buffer[:count])
            buffer = buffer[count:]

    def sha256(self) -> str:
        """Of all that was read so far."""
        return self._hasher.hexdigest()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def sha256(path: Path) -> str:
    with Reader(path) as reader:
        left = reader.size
        while left:
            left -= len(reader.take(min(left, CHUNK)))
        return reader.sha256()


@contextlib.contextmanager
def lock(folder: Path, seconds: float) -> Iterator[bool]:
    """Hold the folder's lock; yields False if another process still has it after `seconds`.

    One process may take it several times over. A process that dies lets go of it.
    """
    import filelock

    held = filelock.FileLock(folder / ".lock", is_singleton=True, thread_local=False)
    try:
        held.acquire(timeout=seconds)
    except filelock.Timeout:
        yield False
        return
    try:
        yield True
    finally:
        held.release()
