"""Where a command's words go: people on the terminal, or one JSON value on standard output."""

import json as json_module
import math
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from firsthand.generate.stream import printable

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on standard output and nothing else.")]


def console(json: bool = False) -> Console:
    """The terminal; with `json`, standard error, so that standard output holds the JSON value alone."""
    return Console(stderr=json, highlight=False)


def emit(value: Any) -> None:
    """Print `value` as the command's one JSON value. What JSON cannot say (NaN, infinity) becomes null."""
    sys.stdout.write(json_module.dumps(_finite(value), ensure_ascii=False, default=str, allow_nan=False) + "\n")
    sys.stdout.flush()


def write(text: str) -> None:
    """Text of a model, at once, on standard output: it cannot command the terminal."""
    if text:
        sys.stdout.write(valid(printable(text), sys.stdout.encoding or "utf-8"))
        sys.stdout.flush()


def valid(text: str, encoding: str = "utf-8") -> str:
    """`text` with U+FFFD or ? for what the encoding cannot say."""
    return (
        text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").encode(encoding, "replace").decode(encoding)
    )


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
