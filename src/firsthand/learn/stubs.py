"""The holes that a learner fills: they come when a lesson is first visited, and never overwrite anything."""

import ast
from collections.abc import Sequence
from pathlib import Path

from firsthand.errors import UserError
from firsthand.learn.manifest import Exercise


def bring(exercise: Exercise, file: Path) -> bool:
    """Write the stub to `file`, or add to it the names that it lacks. True if something was written.

    A later lesson goes on in the file of an earlier one: what stands there stays as it is. A file that does not parse
    is left alone, for its owner is in the middle of something.
    """
    stub = exercise.stub.read_text(encoding="utf-8")
    if not file.exists():
        file.write_text(stub, encoding="utf-8")
        return True
    text = file.read_text(encoding="utf-8")
    try:
        missing = [name for name in exercise.entry if name not in definitions(text)]
    except SyntaxError:
        return False
    if missing:
        file.write_text(text.rstrip("\n") + "\n" + _holes(stub, text, missing), encoding="utf-8")
    return bool(missing)


def definitions(text: str) -> dict[str, str]:
    """The source of every function and class at the top level, by name. SyntaxError if the text does not parse."""
    lines = text.splitlines()
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found[node.name] = "\n".join(lines[first - 1 : node.end_lineno])
    return found


def parts_of(text: str, names: Sequence[str]) -> str:
    """The source of these names, in this order; the whole text where it has none of them or does not parse."""
    try:
        known = definitions(text)
    except SyntaxError:
        return text
    chosen = [known[name] for name in names if name in known]
    return "\n\n\n".join(chosen) + "\n" if chosen else text


def put_back(exercise: Exercise, file: Path) -> Path | None:
    """The stub again; what was there is kept beside it under the returned name. None if there was nothing."""
    kept = None
    if file.exists():
        kept = _free(file)
        file.rename(kept)
    file.write_text(exercise.stub.read_text(encoding="utf-8"), encoding="utf-8")
    return kept


def _free(file: Path) -> Path:
    for number in range(1, 1000):
        kept = file.with_name(f"{file.name}.bak{number if number > 1 else ''}")
        if not kept.exists():
            return kept
    raise UserError(f"There are 999 old versions beside {file}. Delete the .bak files that you no longer need.")


def _holes(stub: str, text: str, names: Sequence[str]) -> str:
    """The stub's source of these names, after those of its imports that the file lacks."""
    imports = [ast.unparse(node) for node in ast.parse(stub).body if isinstance(node, ast.Import | ast.ImportFrom)]
    known = {ast.unparse(node) for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)}
    new = "".join(f"{line}\n" for line in imports if line not in known)
    return f"\n{new}\n\n{parts_of(stub, names)}" if new else f"\n\n{parts_of(stub, names)}"
