"""Texts with places for a record's fields: "Question: {question}". Nothing in them can be run."""

import string
from collections.abc import Mapping
from typing import Any

from firsthand.errors import UserError, suggest


def fill(template: str, record: Mapping[str, Any]) -> str:
    """`template` with each {field} replaced by the record's value, and {{ and }} by braces.

    {choices.0} is an item of a list, {answer.text} a field of a field. There is no more to it: no attributes, formats
    or expressions. UserError for a field that is not there, or that is no text, number or truth value.
    """
    return "".join(
        literal + ("" if path is None else _text(_find(path, record), path)) for literal, path in _pieces(template)
    )


def value(template: str, record: Mapping[str, Any]) -> Any:
    """The record's own value (a list, a number) where `template` is a single {field}; else `fill`."""
    pieces = _pieces(template)
    if len(pieces) == 1 and pieces[0][0] == "" and pieces[0][1] is not None:
        return _find(pieces[0][1], record)
    return fill(template, record)


def _pieces(template: str) -> list[tuple[str, str | None]]:
    """Literal text, each with the path of the field behind it."""
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UserError(f"The template {template!r} is malformed: {error}. Write {{{{ for a brace itself.") from error
    for _, path, form, conversion in parsed:
        if path is not None and (form or conversion or not path.replace(".", "").replace("_", "").isalnum()):
            raise UserError(
                f"The template {template!r} has a place that names no field: {{{path}}}. A place is {{name}}, "
                "{name.0} or {name.inner}, and no more; write {{ for a brace itself."
            )
    return [(literal, path) for literal, path, _, _ in parsed]


def _find(path: str, record: Mapping[str, Any]) -> Any:
    found: Any = record
    for name in path.split("."):
        if isinstance(found, Mapping) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            there = (
                found if isinstance(found, Mapping) else map(str, range(len(found) if isinstance(found, list) else 0))
            )
            raise UserError(f"There is no field {path!r} in the record. {suggest(name, map(str, there))}")
    return found


def _text(found: Any, path: str) -> str:
    if isinstance(found, str | int | float):
        return str(found)
    raise UserError(
        f"The field {path!r} is a {type(found).__name__}, not text. Name an item of it, such as {{{path}.0}}."
    )
