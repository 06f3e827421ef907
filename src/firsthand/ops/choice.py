"""Choosing among the versions of an operation: by name, or by a rule whose answer is logged once."""

import logging
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from firsthand.errors import UserError, suggest


def version_called(operation: str, versions: Mapping[str, Callable[..., Any]], name: str) -> Callable[..., Any]:
    """The version that somebody asked for by name. UserError with the valid names if there is none."""
    if name not in versions:
        raise UserError(f"There is no version of {operation} called {name!r}. {suggest(name, versions)}")
    return versions[name]


def chosen(operation: str, version: str, like: Tensor) -> str:
    """`version`, after saying in the log, once for each kind of tensor, that the rule has chosen it."""
    if not torch.compiler.is_compiling():
        _log_once(operation, version, like.device.type, like.dtype)
    return version


@cache
def _log_once(operation: str, version: str, device: str, dtype: torch.dtype) -> None:
    logging.getLogger("firsthand.ops").info("%s on %s in %s: version %s", operation, device, dtype, version)
