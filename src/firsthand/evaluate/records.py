"""The records of a file: one mapping from field to value each."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from firsthand.errors import DamagedError, UserError
from firsthand.text.files import File
from firsthand.text.formats import lines

Record = dict[str, Any]

KINDS = (".jsonl", ".json", ".tsv", ".csv", ".parquet")


def read(path: Path) -> list[Record]:
    """All records of a .jsonl, .json (a list of objects), .tsv or .csv (the first line names the fields) or .parquet
    file; but for the last also as .gz and .zst.

    UserError for what is not there or not a record, with its line; DamagedError for a broken file.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path} (looked for {path.absolute()}).")
    file = File(path.name, str(path), lambda: path.open("rb"))
    if file.format not in KINDS:
        raise UserError(f"{path} has none of the endings that records can be read from: {', '.join(KINDS)}.")
    if file.format == ".parquet":
        found = _parquet(path)
    elif file.format == ".jsonl":
        found = [_object(line, f"{path}, line {number}") for number, line in _lines(file) if line.strip()]
    else:
        text = "".join(line for _, line in _lines(file))
        found = _list(text, path) if file.format == ".json" else _table(text, path, file.format)
    if not found:
        raise UserError(f"{path} holds no records.")
    return found


def _lines(file: File) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines(file), 1):
        try:
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{file.where}, line {number}, is not UTF-8. Convert the file first.") from error


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        raise UserError(f"{where}, is not JSON ({reason}): {text[:60]!r}.") from error


def _object(text: str, where: str) -> Record:
    value = _parsed(text, where)
    if not isinstance(value, dict):
        raise UserError(f"{where}, is not an object but a {type(value).__name__}.")
    return value


def _list(text: str, path: Path) -> list[Record]:
    value = _parsed(text, str(path))
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise UserError(f"{path} must hold a list of objects, one a record: [{{...}}, ...].")
    return value


def _table(text: str, path: Path, kind: str) -> list[Record]:
    # a quotation mark in a .tsv is a quotation mark
    form: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if kind == ".tsv" else {}
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True, **form))
    except csv.Error as error:
        raise UserError(f"{path} cannot be read as a table: {error}.") from error
    names = rows[0] if rows else []
    found = []
    for number, row in enumerate(rows[1:], 2):
        if row and len(row) != len(names):
            raise UserError(f"{path}, row {number}, has {len(row)} fields; the first line names {len(names)}.")
        if row:
            found.append(dict(zip(names, row, strict=True)))
    return found


def _parquet(path: Path) -> list[Record]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(f"Reading {path} needs pyarrow: pip install 'firsthand[data]'.") from error
    try:
        found: list[Record] = pyarrow.parquet.ParquetFile(path).read().to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise DamagedError(f"{path} is not a Parquet file, or is damaged: {error}. Fetch it again.") from error
    return found
