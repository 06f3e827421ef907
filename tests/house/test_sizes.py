"""Small files, short functions."""

import ast
import statistics
from pathlib import Path

FILE_LINES = 300
MEDIAN_LINES = 120
FUNCTION_LINES = 50


def test_files_are_small(files: list[Path], sources: dict[Path, ast.Module]) -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files if path.suffix == ".py"}
    too_long = {str(path): count for path, count in lines.items() if count > FILE_LINES}
    assert not too_long, f"split these files, none may pass {FILE_LINES} lines: {too_long}"
    assert statistics.median(lines[path] for path in sources) <= MEDIAN_LINES


def test_functions_are_short(sources: dict[Path, ast.Module]) -> None:
    functions = (
        (path, node)
        for path, tree in sources.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    lengths = {f"{path.name}:{node.lineno} {node.name}": _lines(node) for path, node in functions}
    too_long = {where: count for where, count in lengths.items() if count > FUNCTION_LINES}
    assert not too_long, f"split these functions, none may pass {FUNCTION_LINES} lines: {too_long}"


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1
