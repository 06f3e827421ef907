"""Parts from files outside the project: a run keeps a copy of each, so that its code can be read as it was."""

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from firsthand.config import Config
from firsthand.errors import UserError
from firsthand.parts import files_in

FOLDER = "parts"


def keep(config: Config, folder: Path, resumed: bool) -> dict[str, Any]:
    """Copy the files of the run's outside parts into folder/parts, with parts.json: file.py:Name to copy and SHA-256.

    What they have imported from their own folders is copied too, under its path. The parts have been imported by now.
    UserError if a run is `resumed` with a file that is not the one it began with.
    """
    names = dict.fromkeys(files_in(config.model_dump(mode="json")))
    found = {name: _path(name).read_bytes() for name in [*names, *_neighbours({_path(name) for name in names})]}
    known = kept(folder)
    told: dict[str, Any] = {}
    for number, (name, content) in enumerate(found.items(), 1):
        sha256 = hashlib.sha256(content).hexdigest()
        if resumed and name in known and known[name]["sha256"] != sha256:
            raise UserError(
                f"{_path(name)} has changed since the run in {folder} began; as it was then, it is "
                f"{folder / FOLDER / known[name]['copy']}. Put that back, or start anew with --fresh."
            )
        told[name] = {"copy": f"{number}-{re.sub('[^A-Za-z0-9_.-]', '_', _path(name).name)}", "sha256": sha256}
    if told:
        place = folder / FOLDER
        place.mkdir(exist_ok=True)
        for name, content in found.items():
            (place / told[name]["copy"]).write_bytes(content)
        (place / "parts.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    return told


def kept(folder: Path) -> dict[str, Any]:
    """parts.json of a run; empty if it has no parts from outside."""
    path = folder / FOLDER / "parts.json"
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return known


def _path(name: str) -> Path:
    return Path(name.partition(".py:")[0] + ".py" if ".py:" in name else name).expanduser()


def _neighbours(files: set[Path]) -> list[str]:
    """Other modules that were imported from the folders of these files."""
    folders, own = {file.resolve().parent for file in files}, {file.resolve() for file in files}
    places = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    loaded = [Path(place) for place in places if place]
    return sorted({str(path) for path in loaded if path.parent in folders and path.suffix == ".py" and path not in own})
