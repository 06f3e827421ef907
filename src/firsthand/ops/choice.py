"""Choosing among the versions of an operation: by name, or by a rule whose answer is logged once."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor

from firsthand.errors import UserError, suggest

Version = TypeVar("Version", bound=Callable[..., Any])

PREFERRED: dict[str, tuple[str, bool]] = {}
"""By operation: the version that a run has chosen for its training steps, and whether the user insists on it."""


@contextmanager
def preferring(operation: str, version: str, forced: bool = False) -> Iterator[None]:
    """Inside, training steps use this version of the operation where it can do what is asked; "auto": the rule's.

    If it is forced, what it cannot do is an error.
    """
    before = dict(PREFERRED)
    if version != "auto":
        PREFERRED[operation] = version, forced
    try:
        yield
    finally:
        PREFERRED.clear()
        PREFERRED.update(before)


def preferred(operation: str, name: str, best: str, able: bool) -> tuple[str, str]:
    """`name` and `best` as the run wishes: in the place of "auto" the forced version, or if it is `able` the better."""
    wanted, forced = PREFERRED.get(operation, (best, False))
    return wanted if forced and name == "auto" else name, wanted if able else best


def version_for(operation: str, versions: Mapping[str, Version], name: str, best: str, like: Tensor) -> Version:
    """The version called `name`; for "auto" that called `best`, and the log says so once for each kind of tensor."""
    if name != "auto":
        return version_called(operation, versions, name)
    if not torch.compiler.is_compiling():
        _log_once(operation, best, like.device.type, like.dtype)
    return versions[best]


def version_called(operation: str, versions: Mapping[str, Version], name: str) -> Version:
    """The version that somebody asked for by name. UserError with the valid names if there is none."""
    if name not in versions:
        raise UserError(f"There is no version of {operation} called {name!r}. {suggest(name, versions)}")
    return versions[name]


@cache
def _log_once(operation: str, version: str, device: str, dtype: torch.dtype) -> None:
    logging.getLogger("firsthand.ops").info("%s on %s in %s: version %s", operation, device, dtype, version)
