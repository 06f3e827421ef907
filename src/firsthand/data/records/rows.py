"""The rows of one file with the line that each stands in: JSON lines, JSON, TSV, CSV and Parquet. None is held whole
but a JSON file. A row that cannot be read comes as its complaint, so that the rows after it are still read."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from firsthand.data.records.layouts import LABELS, recognise
from firsthand.errors import DamagedError, UserError
from firsthand.text import files, formats

Read: TypeAlias = tuple[str, Mapping[str, Any] | UserError]
"""Where a row stands, and its fields or what is wrong with it."""

FORMATS = (".jsonl", ".json", ".tsv", ".csv", ".parquet")
LARGEST = 1 << 30
"""Bytes of a .json file, which is read whole; .jsonl has no limit."""


def rows(file: files.File) -> Iterator[Read]:
    """The rows of `file`. UserError for what makes the whole file unreadable, DamagedError for a broken archive."""
    yield from _READERS[file.format](file)


def _json_lines(file: files.File) -> Iterator[Read]:
    for number, line in enumerate(formats.lines(file), start=1):
        if line.strip():
            where = f"{file.where}, line {number}"
            try:
                yield where, _object(json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8")))
            except UnicodeDecodeError:
                yield where, UserError("it is not UTF-8")
            except json.JSONDecodeError as error:
                yield where, UserError(f"it is not JSON ({error.msg})")
            except RecursionError:
                yield where, UserError("it is nested too deeply")


def _json(file: files.File) -> Iterator[Read]:
    """A list of objects, read one by one so that each has its line; or {"data": [...]} with one list in it."""
    whole = _text(file)
    decoder = json.JSONDecoder()
    at = _skip(whole, 0)
    if whole[at : at + 1] != "[":
        at = _list_inside(whole, file)
    at, line, counted = _skip(whole, at + 1), 1, 0
    while whole[at : at + 1] != "]":
        line, counted = line + whole.count("\n", counted, at), at
        where = f"{file.where}, line {line}"
        try:
            value, at = decoder.raw_decode(whole, at)
        except (json.JSONDecodeError, RecursionError) as error:
            reason = "nested too deeply" if isinstance(error, RecursionError) else error.msg
            raise UserError(f"{where}: it is not JSON ({reason}), so nothing after it can be read.") from None
        yield where, _object(value)
        at = _skip(whole, at)
        if whole[at : at + 1] == ",":
            at = _skip(whole, at + 1)
        elif whole[at : at + 1] != "]":
            raise UserError(f"{file.where}, line {line}: after this record, a comma or the list's end is missing.")


def _list_inside(whole: str, file: files.File) -> int:
    """Where the one list in an object begins."""
    try:
        tree = json.loads(whole)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{file.where} is not JSON ({error}). It should be a list of objects.") from None
    lists = [key for key, value in tree.items() if isinstance(value, list)] if isinstance(tree, dict) else []
    if len(lists) != 1:
        raise UserError(f"{file.where} is no list of objects, nor an object with just one list in it.")
    at = whole.index(json.dumps(lists[0], ensure_ascii=False))
    return whole.index("[", at + len(lists[0]))


def _skip(whole: str, at: int) -> int:
    while whole[at : at + 1].isspace() and at < len(whole):
        at += 1
    return at


def _object(value: Any) -> Mapping[str, Any] | UserError:
    return value if isinstance(value, dict) else UserError(f"it is no object but a {type(value).__name__}")


def _tsv(file: files.File) -> Iterator[Read]:
    """Tabs part the cells and quotes are plain characters, as the media type text/tab-separated-values has it."""
    yield from _table(file, delimiter="\t", quoting=csv.QUOTE_NONE)


def _csv(file: files.File) -> Iterator[Read]:
    yield from _table(file, delimiter=",", quoting=csv.QUOTE_MINIMAL)


def _table(file: files.File, **dialect: Any) -> Iterator[Read]:
    reader = csv.reader(io.StringIO(_text(file), newline=""), strict=True, **dialect)
    lines: list[tuple[str, list[str]]] = []
    begun = 1
    try:
        for cells in reader:
            if cells:
                lines.append((f"{file.where}, line {begun}", cells))
            begun = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{file.where}, line {begun}: {error}, so nothing after it can be read.") from None
    head = [cell.strip() for cell in lines[0][1]] if lines else []
    if recognise([name.lower() for name in head]):
        lines = lines[1:]
    else:
        head = _without_head(head, [cells for _, cells in lines])
    for where, cells in lines:
        fields = dict(zip(head, cells, strict=False))
        wrong = len(cells) != len(head)
        yield where, UserError(f"it has {len(cells)} cells, not {len(head)}") if wrong else fields


def _without_head(head: list[str], cells: list[list[str]]) -> list[str]:
    """Two columns without a line of names: the one with few different values is the label."""
    if len(head) != 2:
        return head
    different = [len({row[i] for row in cells if len(row) == 2}) for i in (0, 1)]
    few = min(different)
    if few == max(different) or few > max(2, len(cells) // 4):
        return head
    return [LABELS[0], "text"] if different[0] == few else ["text", LABELS[0]]


def _parquet(file: files.File) -> Iterator[Read]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(f"Reading {file.where} needs pyarrow: pip install 'firsthand[data]'.") from error
    number = 0
    try:
        with file.open() as stream:
            for batch in pyarrow.parquet.ParquetFile(stream).iter_batches(batch_size=256):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{file.where}, row {number}", row
    except pyarrow.ArrowInvalid as error:
        raise DamagedError(f"{file.where} is not a Parquet file, or is damaged: {error}. Fetch it again.") from error


def _text(file: files.File) -> str:
    parts, size = [], 0
    for line in formats.lines(file):
        size += len(line)
        if size > LARGEST:
            raise UserError(f"{file.where} is larger than {LARGEST >> 20} MiB. Write it as .jsonl, one record a line.")
        parts.append(line)
    try:
        return b"".join(parts).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = b"".join(parts)[: error.start].count(b"\n") + 1
        raise UserError(f"{file.where}, line {number}, is not UTF-8. Convert it: iconv -f LATIN1 -t UTF-8.") from None


_READERS: dict[str, Callable[[files.File], Iterator[Read]]] = {
    ".jsonl": _json_lines,
    ".json": _json,
    ".tsv": _tsv,
    ".csv": _csv,
    ".parquet": _parquet,
}
