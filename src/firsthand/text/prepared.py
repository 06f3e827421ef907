"""The folder that `firsthand prepare` writes: one file of JSON lines for each split, and a report.

It is committed by a rename at the end, so that a folder with a report.json is complete.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from firsthand.errors import DamagedError, UserError, suggest
from firsthand.text import files, formats
from firsthand.text.split import SPLITS
from firsthand.types import Document

KIND, TOKENS = "firsthand prepared text 1", "firsthand prepared tokens 1"
"""What a report says that its folder is. Folders of tokens are written by experiments/bulk.py."""
_REPORT = "report.json"


def is_prepared(path: str | Path, kind: str = KIND) -> bool:
    """Whether `path` is a folder of text made by `firsthand prepare`, or of another `kind`."""
    try:
        return bool(read_report(path, kind))
    except UserError:
        return False


def splits_of(path: str | Path) -> list[str]:
    """The splits that the folder has, train first."""
    return [split for split in SPLITS if split in read_report(path)["splits"]]


def read_report(path: str | Path, kind: str = KIND) -> dict[str, Any]:
    """The report of a prepared folder: what was read, what each step did, what each split holds.

    Raises UserError for another folder, DamagedError for a report that is broken.
    """
    file = Path(path).expanduser() / _REPORT
    try:
        report = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    except ValueError as error:
        raise DamagedError(f"{file} is not what prepare wrote: {error}. Prepare the text again.") from error
    if not isinstance(report, dict) or report.get("kind") != kind:
        raise UserError(f"{path} is not a folder that firsthand prepare wrote.")
    return report


def read_split(path: str | Path, split: str) -> Iterator[Document]:
    """The documents of "train", "validation" or "test", streamed, with the names and sources they came with.

    Raises UserError when the folder has no such split, DamagedError when the file is not what was written.
    """
    report = read_report(path)
    if split not in report["splits"]:
        raise UserError(f"{path} has no split {split!r}. {suggest(split, report['splits'])} Prepare it with --{split}.")
    expected = report["splits"][split]
    return _documents(Path(path).expanduser() / expected["file"], expected["documents"], expected["bytes"])


def _documents(path: Path, documents: int, size: int) -> Iterator[Document]:
    advice = "Prepare the text again."
    file = files.File(path.name, str(path), lambda: path.open("rb"))
    try:
        for line in formats.lines(file):
            record = json.loads(line)
            document = Document(record["text"], record["name"], record["source"], record.get("metadata", {}))
            documents, size = documents - 1, size - size_of(document.text)
            yield document
    except FileNotFoundError as error:
        raise DamagedError(f"{path} is missing, though the report beside it names it. {advice}") from error
    except UserError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{path} is not what prepare wrote: {error}. {advice}") from error
    if documents or size:
        raise DamagedError(f"{path} is not what prepare wrote: it has other documents than the report says. {advice}")


def size_of(text: str) -> int:
    """The bytes of `text` in UTF-8 (half surrogates, which have none, count as three)."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


class Target(Protocol):
    """What `prepare` writes to: a context in which documents are written, and committed at the end.

    `splits`: what each split holds, for the report.
    """

    splits: dict[str, dict[str, Any]]

    def __enter__(self) -> "Target": ...
    def __exit__(self, *_: object) -> None: ...
    def write(self, documents: Iterable[tuple[str, Document]]) -> None:
        """Take all documents, each with its split."""

    def commit(self, report: dict[str, Any], readable: str) -> None:
        """Put what was written in its place, with its reports (`readable` is Markdown)."""


class Partial:
    """A folder that is written beside its place and put there on `commit`; a context that cleans up.

    With `overwrite`, a folder that prepare made earlier is replaced. Raises UserError when the folder holds anything
    else, OSError (with the file's name) when the disk is full or refuses.
    """

    def __init__(self, folder: Path, overwrite: bool = False) -> None:
        self._folder = folder.expanduser()
        _check_free(self._folder, overwrite)
        self.path = self._folder.with_name(f"{self._folder.name}.partial-{os.getpid()}")

    def __enter__(self) -> "Partial":
        shutil.rmtree(self.path, ignore_errors=True)  # of a killed process that had our number
        self.path.mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def commit(self, kind: str, report: dict[str, Any], readable: str) -> None:
        """Write the reports and put the folder in its place; its other files are on the disk already."""
        write_text(self.path / _REPORT, json.dumps({"kind": kind, **report}, ensure_ascii=False, indent=1) + "\n")
        write_text(self.path / "report.md", readable)
        if self._folder.exists():
            old = self._folder.with_name(f"{self._folder.name}.old-{os.getpid()}")
            self._folder.rename(old)
            self.path.rename(self._folder)
            shutil.rmtree(old)
        else:
            self.path.rename(self._folder)


class Writer:
    """Writes the splits as files of JSON lines; a context. Errors are those of `Partial`."""

    def __init__(self, folder: Path, splits: list[str], overwrite: bool = False, zstd: bool = False) -> None:
        self._partial = Partial(folder, overwrite)
        self._extension = ".jsonl.zst" if zstd else ".jsonl"
        self._zstd = zstd
        self._names = splits
        self._open = contextlib.ExitStack()
        self._files: dict[str, tuple[Any, Path]] = {}
        self.splits: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> "Writer":
        self._partial.__enter__()
        for split in self._names:
            path = self._partial.path / (split + self._extension)
            self._files[split] = self._opened(path), path
            self.splits[split] = {"file": path.name, "documents": 0, "bytes": 0}
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # closing flushes, which a full disk refuses a second time
            self._open.close()
        self._partial.__exit__()

    def write(self, documents: Iterable[tuple[str, Document]]) -> None:
        for split, document in documents:
            file, path = self._files[split]
            with files.naming(path):
                file.write(_line(document))
            self.splits[split]["documents"] += 1
            self.splits[split]["bytes"] += size_of(document.text)

    def commit(self, report: dict[str, Any], readable: str) -> None:
        with files.naming(self._partial.path):
            self._open.close()
            for _, path in self._files.values():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        self._partial.commit(KIND, report, readable)

    def _opened(self, path: Path) -> Any:
        file: Any = self._open.enter_context(path.open("wb"))
        if self._zstd:
            file = self._open.enter_context(_compressed(file))
        return file


def _check_free(folder: Path, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, so no folder can be made there. Choose another --out.")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not any(is_prepared(folder, kind) for kind in (KIND, TOKENS)):
        raise UserError(f"{folder} holds files that prepare did not write. Choose another --out.")
    if not overwrite:
        raise UserError(
            f"{folder} holds what prepare wrote already. Choose another --out, or replace it with --overwrite."
        )


def _compressed(file: BinaryIO) -> Any:
    try:
        import zstandard
    except ImportError as error:
        raise UserError("Writing .zst needs zstandard. Install it: pip install 'firsthand[data]'.") from error
    return zstandard.ZstdCompressor().stream_writer(file, closefd=False)


def _line(document: Document) -> bytes:
    record: dict[str, Any] = {"text": document.text, "name": document.name, "source": document.source}
    if document.metadata:
        record["metadata"] = dict(document.metadata)
    try:
        return (json.dumps(record, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:  # half a surrogate pair: JSON can escape what UTF-8 cannot hold
        return (json.dumps(record) + "\n").encode()


def write_text(path: Path, text: str) -> None:
    with files.naming(path), path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
