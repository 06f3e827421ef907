"""Where a command's words go: people on the terminal, or one JSON value on standard output."""

import json as json_module
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on standard output and nothing else.")]


def console(json: bool = False) -> Console:
    """The terminal; with `json`, standard error, so that standard output holds the JSON value alone."""
    return Console(stderr=json, highlight=False)


def emit(value: Any) -> None:
    """Print `value` as the command's one JSON value."""
    sys.stdout.write(json_module.dumps(value, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()
