"""What may not stand in a file of the project."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
UNSAFE_CALLS = {"torch.load", "torch.save", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "pandas.read_pickle"}

# Absolute paths of somebody's machine, and where packages come from: both are the reader's own business.
MACHINE = re.compile(r"(?<![\w.~*-])/(?:(?:home|Users)/\w{2,}|(?:root|work|farm)/\w)")
REGISTRY = re.compile(r"index[-_]url|find[-_]links|trusted[-_]host|pythonhosted\.org|download\.pytorch\.org")


def test_nothing_unpickles(sources: dict[Path, ast.Module]) -> None:
    """A file that is only data must never be able to run code."""
    found = [f"{path.name}:{line} {what}" for path, tree in sources.items() for line, what in _unsafe(tree)]
    assert not found


def test_arrays_are_loaded_without_objects(sources: dict[Path, ast.Module]) -> None:
    """numpy.load and memory maps of .npy spell out allow_pickle=False."""
    calls = [(path, node) for path, tree in sources.items() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    loads = [(path, call) for path, call in calls if ast.unparse(call.func) in ("np.load", "numpy.load")]
    safe = [
        any(word.arg == "allow_pickle" and ast.unparse(word.value) == "False" for word in call.keywords)
        for _, call in loads
    ]
    assert all(safe), [f"{path}:{call.lineno}" for (path, call), good in zip(loads, safe, strict=True) if not good]


def test_the_lint_sees_what_it_forbids() -> None:
    seen = list(_unsafe(ast.parse("import pickle\nfrom joblib import load\nx = torch.load('a')\nimport json")))
    assert [what for _, what in seen] == ["pickle", "joblib", "torch.load"]


def test_no_machine_and_no_registry(files: list[Path], root: Path) -> None:
    here = re.escape(str(root)) if len(root.parts) > 2 else r"(?!)"
    found = []
    for path in files:
        text = path.read_bytes().decode("utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(here, line) or MACHINE.search(line) or REGISTRY.search(line):
                found.append(f"{path.relative_to(root)}:{number}")
    assert not found, f"these lines name a machine's path or a package registry: {found}"


def test_nothing_large_is_committed(files: list[Path], root: Path) -> None:
    large = {str(path.relative_to(root)): path.stat().st_size for path in files if path.stat().st_size > 1_000_000}
    assert not large, "runs and data do not belong in the repository"


def test_every_module_says_what_it_is(sources: dict[Path, ast.Module]) -> None:
    silent = [str(path) for path, tree in sources.items() if tree.body and not ast.get_docstring(tree)]
    assert not silent, f"begin these files with a docstring: {silent}"


def test_no_note_to_self(sources: dict[Path, ast.Module]) -> None:
    notes = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    found = [str(path) for path in sources if notes.search(path.read_text(encoding="utf-8"))]
    assert not found, f"do it, or open an issue: {found}"


def test_every_skip_gives_a_reason(tests: dict[Path, ast.Module]) -> None:
    calls = [(path, node) for path, tree in tests.items() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    skips = [(path, call) for path, call in calls if re.search(r"\b(skip|skipif|xfail)$", ast.unparse(call.func))]
    silent = [f"{path.name}:{call.lineno}" for path, call in skips if not _reason(call)]
    bare = [
        f"{path.name}:{node.lineno}"
        for path, tree in tests.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(mark) in ("pytest.mark.skip", "pytest.mark.xfail") for mark in node.decorator_list)
    ]
    assert not silent + bare


def test_every_test_can_fail(tests: dict[Path, ast.Module]) -> None:
    """A test without an assertion proves that the code runs, which is less than its name says."""
    functions = (
        (path, node)
        for path, tree in tests.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )
    empty = [f"{path.name}:{node.lineno} {node.name}" for path, node in functions if not _can_fail(node)]
    assert not empty


def _unsafe(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".")[0] for alias in node.names]
            yield from ((node.lineno, name) for name in names if name in UNSAFE_MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in UNSAFE_MODULES:
            yield node.lineno, str(node.module)
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in UNSAFE_CALLS:
            yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            yield node.value.lineno, "allow_pickle"


def _reason(call: ast.Call) -> bool:
    named = {word.arg for word in call.keywords}
    positional = bool(call.args) and not ast.unparse(call.func).endswith("skipif")
    return positional or "reason" in named


def _can_fail(function: ast.FunctionDef) -> bool:
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2].lstrip("_")
            if any(ast.unparse(word) == "check=True" for word in node.keywords):
                return True
            if name in ("raises", "warns", "fail") or name.startswith(("assert", "check", "expect")):
                return True
    return False
