"""Build a part by its name in a table, or by "file.py:Name"."""

import functools
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from firsthand.errors import OUTSIDE, UserError, line_in, suggest

PartSpec: TypeAlias = str | dict[str, Any]
"""A name, or {"part": name, **arguments}."""


def split(spec: PartSpec) -> tuple[str, dict[str, Any]]:
    """The name of a part and the arguments that the recipe gives it."""
    if isinstance(spec, str):
        return spec, {}
    if "part" not in spec:
        raise UserError(f"{spec!r} does not say which part it configures. Write {{part: NAME, ...}}.")
    return str(spec["part"]), {key: value for key, value in spec.items() if key != "part"}


def find(slot: str, table: Mapping[str, Any], name: str, files: bool = True) -> Callable[..., Any]:
    """The part called `name`; `files=False` refuses to import from a file (a loaded checkpoint must not run code)."""
    if name in table:
        part: Callable[..., Any] = table[name]
        return part
    if not is_file(name):
        hint = suggest(name, table)
        raise UserError(f"{slot}: there is no part called {name!r}. {hint} A part of your own: path/to/file.py:Name.")
    if not files:
        raise UserError(
            f"{slot}: this checkpoint was made with the part {name!r}, which is a file outside the project. "
            f"Opening a checkpoint never runs code, so name the part again on the command line: {slot}={name}"
        )
    return _from_file(slot, name)


def import_files(slot: str, spec: Any) -> None:
    """Import the files whose parts `spec` names, so that `build` has nothing left to import. UserError as it gives."""
    for name in files_in(spec):
        _from_file(slot, name)


def named_again(slot: str, spec: Any, given: Any = None) -> Any:
    """`spec`, as a checkpoint holds it, with every part from a file taken from where `given` says that it is.

    `given` may be any spec; a part is found in it by its path and name or, as files move, by its name alone.
    UserError if a part from a file is not among them, or if `given` names something else.
    """
    files = files_in(given)
    moved = {_class(file): file for file in files}
    used: set[str] = set()

    def put(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: put(item) for key, item in value.items()}
        if isinstance(value, list):
            return [put(item) for item in value]
        if not is_file(value):
            return value
        if _class(value) not in moved:
            find(slot, {}, value, files=False)
        used.add(_class(value))
        return value if value in files else moved[_class(value)]

    known = put(spec)
    if given is not None and not (files and used >= set(moved)):
        raise UserError(
            f"{slot}={given} names no part of this model: its {slot} is {spec!r}. Name those of its parts again that "
            "come from files, by the same class; a trained model cannot change its parts."
        )
    return known


def files_in(spec: Any) -> list[str]:
    """The parts from files, file.py:Name, that a spec or a whole tree of settings names."""
    if isinstance(spec, dict | list):
        return [name for item in (spec.values() if isinstance(spec, dict) else spec) for name in files_in(item)]
    return [spec] if is_file(spec) else []


def is_file(name: Any) -> bool:
    """Whether this names a part in a file."""
    return isinstance(name, str) and ".py:" in name


def _class(file: str) -> str:
    """MyMixer of path/to/my_idea.py:MyMixer."""
    return file.rpartition(":")[2]


def build(slot: str, table: Mapping[str, Any], spec: PartSpec, files: bool = True, **offered: Any) -> Any:
    """Construct the part that `spec` names.

    The spec's own arguments must all exist in the constructor's signature; of `offered` (what the assembly has at
    hand: sizes, the position) the part takes those it names. A wrong name or argument raises UserError with the
    valid ones.
    """
    name, arguments = split(spec)
    part = find(slot, table, name, files)
    parameters, takes_any = takes(part)
    unknown = [] if takes_any else [key for key in arguments if key not in parameters]
    if unknown:
        raise UserError(f"{slot}: {name} has no argument {unknown[0]!r}. {suggest(unknown[0], parameters)}")
    given = {key: value for key, value in offered.items() if takes_any or key in parameters} | arguments
    missing = [
        key
        for key, p in parameters.items()
        if p.default is p.empty and key not in given and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ]
    if missing:
        raise UserError(f"{slot}: {name} needs the argument {missing[0]!r}: write {{part: {name}, {missing[0]}: ...}}.")
    return part(**given)


def takes(part: Callable[..., Any]) -> tuple[Mapping[str, inspect.Parameter], bool]:
    """The arguments that a part's constructor names, and whether it takes any others too.

    A module that has no constructor of its own has torch's, which seems to take anything and refuses everything.
    """
    constructor = getattr(part, "__init__", None) if isinstance(part, type) else None
    if (
        getattr(constructor, "__qualname__", "") == "Module.__init__"
        and getattr(constructor, "__module__", "") == "torch.nn.modules.module"
    ):
        return {}, False
    parameters = inspect.signature(part).parameters
    return parameters, any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _from_file(slot: str, name: str) -> Callable[..., Any]:
    path_text, _, attribute = name.rpartition(":")
    path = Path(path_text).expanduser().resolve()
    if not path.is_file():
        raise UserError(f"{slot}: there is no file {path_text} (looked for {path}).")
    try:
        module = _module(path, path.stat().st_mtime_ns)
    except Exception as error:
        where = line_in(error, path)
        raise UserError(
            f"{slot}: {path_text} cannot be imported: {type(error).__name__}: {error}{where and f' ({where})'}. "
            "Put it right and try again; --debug shows the whole way there."
        ) from error
    if not hasattr(module, attribute):
        defined = [key for key in vars(module) if not key.startswith("_")]
        raise UserError(f"{slot}: {path_text} defines no {attribute!r}. {suggest(attribute, defined)}")
    part: Callable[..., Any] = getattr(module, attribute)
    return part


@functools.lru_cache
def _module(path: Path, changed: int) -> ModuleType:
    """The file as a module: run once, so that all layers share one class, and again after it has `changed`."""
    spec = importlib.util.spec_from_file_location(OUTSIDE + path.stem, path)
    assert spec is not None, "a .py file always has a spec"
    assert spec.loader is not None, "a .py file always has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    sys.path.insert(0, str(path.parent))  # it may import its neighbours by name
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module
