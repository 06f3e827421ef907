"""step.c as a library of this machine: compiled once by the C compiler that is there, and kept in the user's cache."""

import ctypes
import hashlib
import logging
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch

from firsthand.text.download import cache as cache_folder

SOURCE = Path(__file__).with_name("step.c")
INCLUDED = Path(__file__).with_name("few_bits.h")
COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-O3", "-fPIC", "-shared", "-fno-math-errno")
"""-ffast-math would change how the whole process treats the smallest numbers."""
BEST = ("-march=native", "-fopenmp", "-mprefer-vector-width=512")
"""Flags that not every compiler knows, the most doubtful last: without -fopenmp there is one thread."""
PATIENCE = 300

logger = logging.getLogger(__name__)


def _fields(kind: Any, names: str) -> list[tuple[str, Any]]:
    return [(name, kind) for name in names.split()]


class Instruction(ctypes.Structure):
    """As in step.c."""

    _fields_ = [
        *_fields(ctypes.c_int32, "kind layer x y z n m groups format flag per narrow"),
        *_fields(ctypes.c_float, "a b"),
        *_fields(ctypes.c_void_p, "weight bias scales zeros levels"),
    ]


class Text(ctypes.Structure):
    """As in step.c."""

    _fields_ = [
        *_fields(ctypes.c_void_p, "strips scores apart keys values tokens first"),
        *_fields(ctypes.c_int32, "strip widest rows column capacity half threads"),
    ]


class Unavailable(Exception):
    """Why steps cannot be computed by instructions here, or for this model."""


def library() -> ctypes.CDLL:
    """The library with its functions `step`, `multiply` and `unfold`. The first time on a machine it takes seconds.
    Unavailable says why nothing compiles it."""
    found = _loaded()
    if isinstance(found, str):
        raise Unavailable(found)
    return found


@cache
def _loaded() -> ctypes.CDLL | str:
    """The library, or what stands in the way."""
    try:
        compiled = ctypes.CDLL(str(_compiled()))
    except subprocess.CalledProcessError as error:
        return f"step.c is not compiled: {error.stderr.decode(errors='replace').strip() or error}"
    except (OSError, subprocess.SubprocessError) as error:
        return f"step.c is not compiled: {error}"
    pointer, number = ctypes.c_void_p, ctypes.c_int
    for function, arguments in (
        (compiled.step, (pointer, number, number, pointer)),
        (compiled.multiply, (pointer, pointer, pointer, pointer, number, number, number)),
        (compiled.unfold, (pointer, pointer, pointer, number, number)),
    ):
        function.argtypes, function.restype = arguments, None
    return compiled


def _compiled() -> Path:
    """The library's file, made if it is not there yet. OSError or SubprocessError if that cannot be done."""
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        raise OSError(f"there is no C compiler: none of {', '.join(COMPILERS)}")
    processor = (platform.machine(), *sorted(map(str, torch.cpu.get_capabilities().items())))
    made_of = SOURCE.read_bytes() + INCLUDED.read_bytes() + repr((compiler, FLAGS, BEST, processor)).encode()
    key = hashlib.blake2b(made_of, digest_size=8)
    folder = cache_folder() / "native"
    path = folder / f"step-{key.hexdigest()}.so"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch) / path.name
        for best in (BEST, BEST[:2], BEST[:1], ()):
            command = [compiler, *FLAGS, *best, str(SOURCE), "-o", str(made), "-lm"]
            done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
            if done.returncode == 0:
                break
        done.check_returncode()
        made.replace(path)
    logger.info("step.c compiled by %s into %s", compiler, path)
    return path
