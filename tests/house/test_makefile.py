"""`make` sets up once, says what is missing, and has the targets that the manual names."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TARGETS = ["install", "demo", "test", "test-peers", "check", "bench", "clean"]


@pytest.fixture
def clone(root: Path, tmp_path: Path) -> Path:
    """A folder with what `make install` reads, and no .venv."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(root / name, tmp_path / name)
    return tmp_path


def _make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MAKE") and key != "MFLAGS"}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=clean | {"LC_ALL": "C"}, capture_output=True, text=True, check=False
    )


def _python(folder: Path, body: str) -> str:
    """A stand-in for the interpreter."""
    path = folder / "python-stand-in"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def _installed(folder: Path, python: str = "exit 0") -> Path:
    """A .venv as `make install` leaves it, with a stand-in for its Python; returns the stamp."""
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "pyvenv.cfg").write_text("")
    shutil.move(_python(folder, python), folder / ".venv" / "bin" / "python")
    return folder / ".venv" / ".installed"


@pytest.mark.parametrize("target", TARGETS)
def test_has_every_target(root: Path, target: str) -> None:
    assert _make(root, "-n", target).returncode == 0


def test_a_second_install_does_nothing(clone: Path) -> None:
    stamp = _installed(clone)
    assert _make(clone, "install").returncode == 0
    assert stamp.exists()
    assert "Nothing to be done" in _make(clone, "-n", "install").stdout
    assert "pip" not in _make(clone, "-n", "test").stdout


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_a_changed_pin_installs_again(clone: Path, changed: str) -> None:
    stamp = _installed(clone)
    stamp.touch()
    later = stamp.stat().st_mtime + 10
    os.utime(clone / changed, (later, later))
    assert "pip install" in _make(clone, "-n", "demo").stdout


def test_a_failed_install_is_tried_again(clone: Path) -> None:
    stamp = _installed(clone, python="exit 1")
    assert _make(clone, "install").returncode != 0
    assert not stamp.exists()


def test_an_old_python_is_refused_in_words(clone: Path) -> None:
    result = _make(clone, f"PYTHON={_python(clone, 'exit 1')}", "test")
    assert result.returncode != 0
    assert "Python 3.11 or newer" in result.stderr
    assert not (clone / ".venv").exists()


def test_a_missing_venv_module_is_said_in_words(clone: Path) -> None:
    python = _python(clone, 'test "$1" = -c && exit 0\nmkdir -p .venv && touch .venv/pyvenv.cfg\nexit 1')
    result = _make(clone, f"PYTHON={python}", "demo")
    assert result.returncode != 0
    assert "python3-venv" in result.stderr
    assert not (clone / ".venv" / "pyvenv.cfg").exists(), "the next call must try again"


def test_ci_runs_the_check_and_the_tests_and_nothing_else(root: Path) -> None:
    script = (root / ".ci" / "run").read_text().splitlines()
    commands = [line for line in script if line and not line.startswith(("#", "set ", "cd "))]
    assert commands == ["make check", "make test"]
    assert os.access(root / ".ci" / "run", os.X_OK)


def test_torch_is_pinned_exactly(root: Path) -> None:
    pins = (root / "constraints.txt").read_text().splitlines()
    assert "torch==2.13.0" in pins
    assert all("==" in line for line in pins if line and not line.startswith("#"))
