"""What src imports is declared: base dependencies anywhere, those of an extra inside functions only."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _declared(root: Path) -> tuple[set[str], set[str]]:
    """The base dependencies, and those of the extras but dev."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = [line for extra, lines in project["optional-dependencies"].items() if extra != "dev" for line in lines]
    names = [
        {_normal(re.split(r"[\[<>=!~ ]", line)[0]) for line in lines} for lines in (project["dependencies"], extras)
    ]
    return names[0], names[1]


def _imports(tree: ast.Module) -> list[tuple[str, bool]]:
    """(top-level name of the module, whether it is imported inside a function or for types alone)."""
    late = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name.split(".")[0], id(node) in late) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append((node.module.split(".")[0], id(node) in late))
    return found


def test_every_import_is_a_declared_dependency(sources: dict[Path, ast.Module], root: Path) -> None:
    base, extra = _declared(root)
    homes = packages_distributions()
    wrong = []
    for path, tree in sources.items():
        for name, late in _imports(tree):
            if name in sys.stdlib_module_names or name == "firsthand":
                continue
            allowed = base | extra if late else base
            if not {_normal(home) for home in homes.get(name, [name])} & allowed:
                wrong.append(f"{path.relative_to(root)}: {name}")
    assert not wrong, f"declare these in pyproject.toml, or import them inside a function: {wrong}"
