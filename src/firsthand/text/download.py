"""Sources on the web: url:https://…#sha256=… is fetched once, checked, and kept in the user's cache folder."""

import hashlib
import http.client
import os
import re
import socket
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from firsthand.errors import DamagedError, UserError
from firsthand.text.files import naming

ATTEMPTS = 4
_BLOCK = 1 << 16
_TIMEOUT = 30

Progress = Callable[[int, int | None], None]
"""Told the bytes that are here and the bytes in all (None where the server does not say)."""


def cache() -> Path:
    """The folder for what is downloaded: $FIRSTHAND_CACHE, else the system's cache folder for this user."""
    if chosen := os.environ.get("FIRSTHAND_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    else:
        base = "~/Library/Caches" if sys.platform == "darwin" else os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "firsthand"


def fetch(source: str, pause: float = 1.0) -> Path:
    """The local file of "https://…#sha256=…", downloaded unless the cache has it; its hash is checked every time.

    A download that stops is taken up where it stopped, by this call (after `pause` seconds, then twice that …) or by
    the next. Raises UserError when the address or the network fails, DamagedError when what came has another hash.
    """
    url, expected = _parse(source)
    path = cache() / "downloads" / f"{expected[:16]}-{name_of(url)}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        if not path.exists() or _hash(path) != expected:
            part = path.with_name(path.name + ".part")
            _download_checked(url, part, expected, pause)
            os.replace(part, path)
    return path


def name_of(source: str) -> str:
    """The file's name in the address, which says how to read it."""
    return Path(urllib.parse.unquote(urllib.parse.urlparse(source).path)).name[-100:]


def _parse(source: str) -> tuple[str, str]:
    url, _, fragment = source.partition("#")
    if not url.startswith(("http://", "https://")):
        raise UserError(f"url:{source} is not a web address. Write url:https://HOST/FILE#sha256=HASH.")
    found = re.fullmatch(r"sha256=([0-9a-fA-F]{64})", fragment)
    if not found:
        raise UserError(
            f"url:{source} needs the file's SHA-256, so that everybody trains on the same bytes: add #sha256= and its "
            "64 hexadecimal digits (the publisher's page has them, or: sha256sum FILE)."
        )
    return url, found[1].lower()


def _download_checked(url: str, part: Path, expected: str, pause: float) -> None:
    resumed = part.exists()
    _download(url, part, pause)
    if _hash(part) != expected and resumed:
        part.unlink()  # the beginning that lay here may have been another file's
        _download(url, part, pause)
    if (found := _hash(part)) != expected:
        part.unlink()
        raise DamagedError(
            f"{url} is not the file it should be: its SHA-256 is {found}, not {expected}. The file has changed or the "
            "hash is wrong; ask its publisher. Nothing was kept."
        )


def _download(url: str, part: Path, pause: float) -> None:
    failures, before = 0, _size(part)
    with _progress(url) as progress:
        while True:
            try:
                return _transfer(url, part, progress)
            except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
                failures = 1 if _size(part) > before else failures + 1
                before = _size(part)
                if failures == ATTEMPTS or _hopeless(error):
                    raise UserError(f"Could not fetch {url}: {_reason(error)}. {_advice(part)}") from error
            time.sleep(pause * 2 ** (failures - 1))


def _hopeless(error: Exception) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        return error.code < 500
    return isinstance(getattr(error, "reason", None), (socket.gaierror, ConnectionRefusedError, ssl.SSLError))


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, http.client.IncompleteRead):
        return "the connection ended too early"
    return str(getattr(error, "reason", None) or error or type(error).__name__)


def _transfer(url: str, part: Path, progress: Progress) -> None:
    """One request, for what is missing. Raises IncompleteRead where the connection ends too early."""
    here = _size(part)
    headers = {"User-Agent": "firsthand", "Accept-Encoding": "identity"}
    if here:
        headers["Range"] = f"bytes={here}-"
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and here:  # nothing is missing; the hash will tell
            return
        raise
    with response:
        if here and not (response.headers.get("Content-Range") or "").startswith(f"bytes {here}-"):
            here = 0  # a server without ranges sends everything again
        length = response.headers.get("Content-Length")
        total = here + int(length) if length else None
        with naming(part), part.open("ab" if here else "wb") as file:
            for block in iter(lambda: response.read(_BLOCK), b""):
                file.write(block)
                here += len(block)
                progress(here, total)
    if total is not None and here < total:
        raise http.client.IncompleteRead(b"", total - here)


def _advice(part: Path) -> str:
    kept = f" {_size(part):,} bytes are kept and need not be fetched again." if _size(part) else ""
    return f"Check the address and the network, then run the same command again.{kept}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _progress(url: str) -> Iterator[Progress]:
    """A bar on standard error; on a terminal only."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with Bars(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bars:
        task = bars.add_task(name_of(url) or url, total=None)
        yield lambda here, total: bars.update(task, completed=here, total=total)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process at a time fetch this file (the ranks of one training run start together)."""
    with path.with_name(path.name + ".lock").open("wb") as lock:
        try:
            import fcntl
        except ImportError:  # Windows; there two processes may fetch twice
            yield
        else:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
