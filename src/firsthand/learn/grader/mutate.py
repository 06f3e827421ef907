"""Known slips: edits of shipped source at one place, applied in this process and taken back."""

import ast
import importlib
import importlib.abc
import importlib.util
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from firsthand.errors import UserError
from firsthand.learn.grader.checks import Parts, module
from firsthand.learn.grader.entry import entries, module_name, read, shipped
from firsthand.learn.manifest import PACKAGE, Exercise


@dataclass(frozen=True)
class Edit:
    """`file`: under src/firsthand, or correct/NAME.py of the lesson. `find` stands there once; `put` comes instead."""

    file: str
    find: str
    put: str


@dataclass(frozen=True)
class Mutant:
    """`say`: the slip in words. `symptom`: the property that tells it, where its outputs are those of a right answer
    ("timeout:" and the property's name, if that never ends). `function`: instead of edits, the shipped parts in, the
    wrong ones out."""

    name: str
    say: str
    edits: tuple[Edit, ...] = ()
    function: Callable[[Parts], Parts] | None = None
    symptom: str | None = None
    next: str = ""


def mutants(exercise: Exercise) -> dict[str, Mutant]:
    """The slips of an exercise, as mutants.toml lists them. UserError naming what an entry lacks."""
    path = exercise.folder / "mutants.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error
    return {name: _mutant(name, row, exercise) for name, row in table.get(exercise.id, {}).items()}


def _mutant(name: str, row: dict[str, Any], exercise: Exercise) -> Mutant:
    try:
        listed = [] if "function" in row else [row]
        edits = tuple(
            Edit(one.get("file", row.get("file")), one["find"], one["put"]) for one in row.get("edits", listed)
        )
        function = None
        if "function" in row:
            function = getattr(module(exercise.folder / "mutants.py"), row["function"])
        return Mutant(name, row["say"], edits, function, row.get("symptom"), row.get("next", ""))
    except (KeyError, AttributeError) as error:
        raise UserError(
            f"mutants.toml: {exercise.id}.{name} lacks {error}. It needs say, and file, find and put or a function."
        ) from error


def source_of(file: str, exercise: Exercise) -> Path:
    """Where an edited file is."""
    return exercise.folder / file if file.startswith("correct/") else PACKAGE / file


def edited(edits: Sequence[Edit], exercise: Exercise) -> dict[str, str]:
    """File to text, with all edits made. UserError if a `find` does not stand in its file exactly once."""
    texts: dict[str, str] = {}
    for edit in edits:
        text = texts.get(edit.file) or source_of(edit.file, exercise).read_text(encoding="utf-8")
        if text.count(edit.find) != 1:
            raise UserError(
                f"mutants.toml: {edit.find!r} stands {text.count(edit.find)} times in {edit.file}, and has to stand "
                "there once. Take more of the line, or follow the change of the source."
            )
        texts[edit.file] = text.replace(edit.find, edit.put)
    return texts


@contextmanager
def applied(mutant: Mutant, exercise: Exercise) -> Iterator[Parts]:
    """The exercise's parts with the slip in them; afterwards all modules are as they were."""
    if mutant.function is not None:
        yield mutant.function(SimpleNamespace(**vars(shipped(exercise))))
        return
    texts = edited(mutant.edits, exercise)
    beside = {file: text for file, text in texts.items() if file.startswith("correct/")}
    if beside:
        if len(texts) > 1:
            raise UserError(f"mutants.toml: {mutant.name} edits several files, one of them in correct/. Edit one only.")
        file, text = next(iter(beside.items()))
        yield entries(read(source_of(file, exercise), text), exercise.entry)
        return
    importlib.import_module(module_name(exercise.solution))
    with _replaced({module_name(file): text for file, text in texts.items()}):
        yield shipped(exercise)


class _Edited(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives some modules another source than the one on disk."""

    def __init__(self, texts: dict[str, str], old: dict[str, ModuleType]) -> None:
        self.texts, self.old = texts, old

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name not in self.texts:
            return None
        places = getattr(self.old[name], "__path__", None)
        spec = importlib.util.spec_from_loader(
            name, self, origin=self.old[name].__file__, is_package=places is not None
        )
        if spec is not None and places is not None:
            spec.submodule_search_locations = list(places)
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        origin = str(self.old[module.__name__].__file__)
        module.__file__ = origin
        exec(compile(self.texts[module.__name__], origin, "exec"), module.__dict__)


@contextmanager
def _replaced(texts: dict[str, str]) -> Iterator[None]:
    """These modules with these sources, and whatever was built on them built anew; afterwards the old ones again."""
    for name in texts:
        importlib.import_module(name)
    old = {name: sys.modules[name] for name in dependents(set(texts))}
    finder = _Edited(texts, old)
    for name in old:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name, one in old.items():
            sys.modules[name] = one
            parent, _, child = name.rpartition(".")
            if parent in sys.modules:
                setattr(sys.modules[parent], child, one)


def dependents(names: set[str]) -> set[str]:
    """Those of our loaded modules, and all that import them, directly or not. The learning path is left alone."""
    loaded = [name for name in sys.modules if name.startswith("firsthand.") and not name.startswith("firsthand.learn")]
    found = set(names)
    while True:
        more = {name for name in loaded if name not in found and _imports(name) & found}
        if not more:
            return found
        found |= more


@cache
def _imports(name: str) -> frozenset[str]:
    """Which of our modules a module's source imports."""
    file = getattr(sys.modules[name], "__file__", None)
    if file is None:
        return frozenset()
    found = set()
    for node in ast.walk(ast.parse(Path(file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(one for one in found if one.startswith("firsthand."))
