"""The learner's file: imported, its holes found, its names and arguments compared with the stub's."""

import ast
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from firsthand.contracts.finding import Broken
from firsthand.errors import line_in, suggest
from firsthand.learn.grader.checks import Parts
from firsthand.learn.manifest import Exercise

Function = ast.FunctionDef | ast.AsyncFunctionDef


class NotStarted(Exception):
    """A hole of the stub is still there. The message says where."""


def shipped(exercise: Exercise) -> Parts:
    """The entries as the package has them."""
    return entries(importlib.import_module(module_name(exercise.solution)), exercise.entry)


def entries(module: ModuleType, names: Sequence[str]) -> Parts:
    """The module's names that the exercise is about. AttributeError if one is missing."""
    return SimpleNamespace(**{name: getattr(module, name) for name in names})


def module_name(file: str) -> str:
    """ "firsthand.ops.attention.reference" for "ops/attention/reference.py"."""
    parts = Path("firsthand", file).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read(file: Path, text: str | None = None) -> ModuleType:
    """The file as a new module, run; `text`: what stands in it, if that is not to be read from disk.

    Its neighbours can be imported by name. Raises whatever the file raises.
    """
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))  # behind everything else: a file called random.py must not hide Python's
    spec = importlib.util.spec_from_file_location(f"exercise_{file.stem}", file)
    assert spec is not None, "a .py file always has a spec"
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    source = file.read_text(encoding="utf-8") if text is None else text
    exec(compile(source, str(file), "exec"), made.__dict__)
    return made


def learners(exercise: Exercise, file: Path) -> Parts:
    """The entries of a learner's file. NotStarted, or Broken in words that name the line of their file."""
    if not file.is_file():
        raise NotStarted(f"There is no {file.name} yet.")
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    except (SyntaxError, UnicodeDecodeError, ValueError) as error:
        raise _unreadable(error, file) from error
    holes = _holes(tree, exercise.entry)
    if holes:
        raise NotStarted(f"{' and '.join(holes)} {'is' if len(holes) == 1 else 'are'} still to be written.")
    try:
        module = read(file)
    except BaseException as error:
        raise importing(error, file) from error
    missing = [name for name in exercise.entry if not callable(getattr(module, name, None))]
    if missing:
        raise Broken(
            f"{file.name} defines no {missing[0]}.",
            "The checks, and later the model, look it up by this name.",
            suggest(missing[0], [name for name in vars(module) if not name.startswith("_")]),
        )
    compare_signatures(exercise, module, file)
    return entries(module, exercise.entry)


def _unreadable(error: Exception, file: Path) -> Broken:
    line = f" at {file.name}:{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else f" in {file.name}"
    text = f": {error.text.strip()}" if isinstance(error, SyntaxError) and error.text else ""
    words = error.msg if isinstance(error, SyntaxError) else str(error)
    return Broken(
        f"Python cannot read the file{line}: {words}.",
        f"Nothing of a file runs before all of it can be read{text}",
        "Look at that line, and at the end of the one before: a bracket, a colon or an indent is missing.",
        line.removeprefix(" at ") if ":" in line else "",
    )


def importing(error: BaseException, file: Path) -> Broken:
    """What a file raised while it was imported, in words."""
    where = line_in(error, file)
    words = " ".join(str(error).split())[:300]
    return Broken(
        f"Importing {file.name} ended with {type(error).__name__}{words and ': '}{words}{where and f' ({where})'}.",
        "The file has to run from top to bottom before anything in it can be called.",
        "Put that line right; keep what only tries something out below if __name__ == '__main__'.",
        where,
    )


def _holes(tree: ast.Module, names: Sequence[str]) -> list[str]:
    """The functions and methods of these names whose body raises NotImplementedError come what may."""
    found = []
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and node.name in names:
            inner = node.body if isinstance(node, ast.ClassDef) else [node]
            for one in inner:
                if isinstance(one, Function) and any(map(_is_hole, one.body)):
                    found.append(node.name if one is node else f"{node.name}.{one.name}")
    return found


def _is_hole(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Raise) and "NotImplementedError" in ast.dump(statement)


def wanted_arguments(stub: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """For each function and method of the stub its arguments' names, self aside: the signature of the exercise."""
    found = {}
    for node in ast.parse(stub.read_text(encoding="utf-8")).body:
        if isinstance(node, Function) and node.name in names:
            found[node.name] = _arguments(node)
        elif isinstance(node, ast.ClassDef) and node.name in names:
            methods = [one for one in node.body if isinstance(one, Function)]
            public = [one for one in methods if not one.name.startswith("_") or one.name in ("__init__", "__call__")]
            found |= {f"{node.name}.{one.name}": _arguments(one)[1:] for one in public}
    return found


def wanted_defaults(stub: Path, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """For each function and method of the stub the arguments that may be left out, with what they are then.

    The value is ... where the stub computes it, or says None or (), for which people write other things that mean the
    same.
    """
    found = {}
    for node in ast.parse(stub.read_text(encoding="utf-8")).body:
        if isinstance(node, Function) and node.name in names:
            found[node.name] = _defaults(node)
        elif isinstance(node, ast.ClassDef) and node.name in names:
            methods = [one for one in node.body if isinstance(one, Function)]
            found |= {f"{node.name}.{one.name}": _defaults(one) for one in methods}
    return found


def _defaults(function: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, Any]:
    given = function.args
    by_place = [*given.posonlyargs, *given.args][-len(given.defaults) :] if given.defaults else []
    pairs = [*zip(by_place, given.defaults, strict=True), *zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    return {one.arg: _plain(value) for one, value in pairs if value is not None}


def _plain(value: ast.expr) -> Any:
    try:
        known = ast.literal_eval(value)
    except ValueError:
        return ...
    return known if isinstance(known, int | float | str) else ...


def _arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    return [one.arg for one in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]


def compare_signatures(exercise: Exercise, module: ModuleType, file: Path | None) -> None:
    """Broken unless every function takes the stub's arguments, in that order; further ones need a default.

    What may be left out in the stub may be left out here, and a number, a text or a bool is then the same.
    """
    defaults = wanted_defaults(exercise.stub, exercise.entry)
    for name, wanted in wanted_arguments(exercise.stub, exercise.entry).items():
        owner, _, method = name.partition(".")
        part: Any = getattr(module, owner)
        part = getattr(part, method, None) if method else part
        if part is None:
            raise Broken(f"{owner} has no method {method}.", "The model calls it.", f"Write def {method}(self, ...).")
        given = _parameters(part, bool(method))
        listed = ", ".join(wanted)
        if _inherited(part, method, module) and len(given) >= len(wanted):
            given = dict(zip(wanted, given.values(), strict=False)) | dict(list(given.items())[len(wanted) :])
        if [one for one in given if one in wanted] != wanted:
            raise Broken(
                f"{name} takes ({', '.join(given)}), and should take ({listed}).",
                "The model calls it with these arguments, some of them by name.",
                f"Begin it as the stub does: {method or name}({listed}).",
                _line(part, file),
            )
        _compare_defaults(name, given, defaults.get(name, {}), _line(part, file))
        extra = [one for one, parameter in given.items() if one not in wanted and _demanded(parameter)]
        if extra:
            raise Broken(
                f"{name} cannot be called without {extra[0]}, which nobody gives it.",
                f"It is called with ({listed}).",
                f"Give {extra[0]} a default value, or do without it.",
                _line(part, file),
            )


def _compare_defaults(name: str, given: dict[str, inspect.Parameter], wanted: dict[str, Any], where: str) -> None:
    for one, value in wanted.items():
        found = given[one].default
        if _demanded(given[one]):
            raise Broken(
                f"{name} cannot be called without {one}.",
                "Not everybody gives it: the stub has a default for it.",
                f"Write {one} as the stub does, with what it is where nobody gives it.",
                where,
            )
        if value is not ... and found != value:
            raise Broken(
                f"Where {name} is called without {one}, it takes {found!r}, and should take {value!r}.",
                "Whoever leaves it out counts on what the stub says.",
                f"Put {one} back: {one}={value!r}.",
                where,
            )


def _parameters(part: Callable[..., Any], is_method: bool) -> dict[str, inspect.Parameter]:
    parameters = dict(inspect.signature(part).parameters)
    if is_method and parameters and next(iter(parameters)) == "self":
        parameters.pop("self")
    return parameters


def _inherited(part: Callable[..., Any], method: str, module: ModuleType) -> bool:
    """Whether a method comes from a library's class, whose names for its arguments nobody can change."""
    return bool(method) and method != "__init__" and getattr(part, "__module__", "") != module.__name__


def _demanded(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind not in (
        parameter.VAR_POSITIONAL,
        parameter.VAR_KEYWORD,
    )


def _line(part: Callable[..., Any], file: Path | None) -> str:
    code = getattr(inspect.unwrap(part), "__code__", None)
    return f"{file.name}:{code.co_firstlineno}" if code is not None and file is not None else ""
