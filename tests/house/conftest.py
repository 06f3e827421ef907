"""What the house rules look at: the files of the project, found once."""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _listed() -> list[Path]:
    """Every file that is, or would be, committed; without git, every file that no build left behind."""
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
        return [ROOT / name for name in names if name and (ROOT / name).is_file()]
    ignored = {line.strip().strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    files = (path for path in ROOT.rglob("*") if path.is_file())
    return [path for path in files if not ignored & set(path.relative_to(ROOT).parts) and path.suffix != ".pyc"]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def files() -> list[Path]:
    """Every file of the project."""
    return sorted(_listed())


@pytest.fixture(scope="session")
def sources(files: list[Path]) -> dict[Path, ast.Module]:
    """The syntax tree of every Python file under src."""
    found = [path for path in files if path.suffix == ".py" and path.is_relative_to(ROOT / "src")]
    return {path: ast.parse(path.read_text(encoding="utf-8"), str(path)) for path in found}


@pytest.fixture(scope="session")
def tests(files: list[Path]) -> dict[Path, ast.Module]:
    """The syntax tree of every test file."""
    found = [path for path in files if path.name.startswith("test_") and path.is_relative_to(ROOT / "tests")]
    return {path: ast.parse(path.read_text(encoding="utf-8"), str(path)) for path in found if path.suffix == ".py"}
