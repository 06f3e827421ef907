"""Finding files: a path, a folder, a glob, or the same behind a URL that fsspec knows (s3://, gs://, https:// ...)."""

import glob
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

from firsthand.errors import UserError, suggest

FORMATS = (".txt", ".md", ".jsonl", ".parquet")
COMPRESSIONS = ("", ".gz", ".zst")
_MAGIC = "*?["


@runtime_checkable
class Stream(Protocol):
    """What we need of an open file: Python's, gzip's, pyarrow's and fsspec's have no other type in common."""

    def read(self, size: int = -1, /) -> bytes: ...

    def __iter__(self) -> Iterator[bytes]: ...

    def __enter__(self) -> "Stream": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> object: ...


@dataclass(frozen=True)
class File:
    """`name` tells it from the other files of its source; `where` is what a message calls it."""

    name: str
    where: str
    open: Callable[[], Stream]

    @property
    def format(self) -> str:
        """The extension that says how to read it: one of FORMATS, or whatever it has."""
        path = PurePosixPath(self.name.lower())
        return PurePosixPath(path.stem).suffix if self.compression else path.suffix

    @property
    def compression(self) -> str:
        suffix = PurePosixPath(self.name.lower()).suffix
        return suffix if suffix in COMPRESSIONS else ""


def find_local(source: str, formats: Sequence[str] = FORMATS) -> list[File]:
    """The files that a path, folder or glob names, sorted; of a folder, those that can be read: that have `formats`.

    Raises UserError where there is nothing, or nothing that can be read.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.is_file() and not _hidden(p.relative_to(path)))
        return _readable([_local(p, path) for p in found], source, formats)
    if path.exists():
        return [known(_local(path, path.parent), formats)]
    if any(mark in source for mark in _MAGIC):
        root = Path(*_until_magic(path))
        found = sorted(Path(p) for p in glob.glob(str(path), recursive=True) if Path(p).is_file())
        if not found:
            raise UserError(f"No file matches {source} (looked under {root.resolve()}). Check the pattern's spelling.")
        return [known(_local(p, root), formats) for p in found]
    raise UserError(f"There is no file or folder {source} (looked for {path.absolute()}).")


def find_remote(url: str) -> list[File]:
    """The files that a URL names, through fsspec. Raises UserError where it cannot be reached or holds nothing."""
    try:
        import fsspec
    except ImportError as error:
        raise UserError(f"Reading {url} needs fsspec. Install it: pip install 'firsthand[data]'.") from error
    web = url.startswith(("http://", "https://"))
    try:
        system, path = fsspec.core.url_to_fs(url)
        if any(mark in path for mark in _MAGIC) and not web:
            paths, root = sorted(system.glob(path)), str(PurePosixPath(*_until_magic(PurePosixPath(path))))
        elif not web and system.isdir(path):
            paths, root = sorted(system.find(path)), path
        else:
            paths, root = [path], str(PurePosixPath(path).parent)
            if not system.exists(path):
                raise FileNotFoundError(path)
        found = [_remote(system, p, root, url) for p in paths if web or not system.isdir(p)]
    except ImportError as error:
        raise UserError(f"Reading {url} needs a further package: {error}") from error
    except FileNotFoundError as error:
        raise UserError(f"There is nothing at {url}. Check the address.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"Could not reach {url}: {error or type(error).__name__}. Check the address.") from error
    if not found:
        raise UserError(f"No file matches {url}. Check the pattern's spelling.")
    return _readable(found, url) if root == path else [known(file) for file in found]


def known(file: File, formats: Sequence[str] = FORMATS) -> File:
    """`file`, or UserError where its extension, none of `formats`, does not say how to read it."""
    if file.format in formats:
        return file
    shown = f"the extension {file.format}" if file.format else "no extension"
    hint = suggest(file.format, formats).partition("Valid here")[0]
    raise UserError(
        f"{file.where} has {shown}, so we cannot tell how to read it. {hint}What can be read: {_listed(formats)}. "
        f"Rename it if it is one of these{' (plain text of any kind is .txt)' if '.txt' in formats else ''}."
    )


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let what the disk refuses in this block (no space, no permission) say of which file."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise type(error)(error.errno, error.strerror, str(path)) from error
        raise


def _local(path: Path, root: Path) -> File:
    return File(path.relative_to(root).as_posix(), str(path), lambda: path.open("rb"))


def _remote(system: Any, path: str, root: str, url: str) -> File:
    name = path.removeprefix(root).lstrip("/") or PurePosixPath(path).name
    if path.startswith(("http://", "https://")):
        name = PurePosixPath(path.partition("?")[0]).name
    return File(name, system.unstrip_protocol(path), lambda: system.open(path, "rb"))


def _readable(files: list[File], source: str, formats: Sequence[str] = FORMATS) -> list[File]:
    readable = [file for file in files if file.format in formats]
    if readable:
        return readable
    there = sorted({PurePosixPath(file.name).suffix or "no extension" for file in files})
    holds = f"its files have {', '.join(there)}" if files else "it is empty"
    raise UserError(f"The folder {source} has no file to read: {holds}. What can be read: {_listed(formats)}.")


def _listed(formats: Sequence[str]) -> str:
    return f"{', '.join(formats)}, each also as .gz or .zst (but .parquet)"


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _until_magic(path: Path | PurePosixPath) -> list[str]:
    parts: list[str] = []
    for part in path.parts:
        if any(mark in part for mark in _MAGIC):
            break
        parts.append(part)
    return parts
