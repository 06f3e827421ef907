"""The records of a file, all of them: one mapping from field to value each."""

from pathlib import Path
from typing import Any

from firsthand.data.records import rows
from firsthand.errors import UserError
from firsthand.text.files import File

Record = dict[str, Any]


def read(path: Path) -> list[Record]:
    """All records of a .jsonl, .json (a list of objects), .tsv or .csv (the first line names the fields) or .parquet
    file; but for the last also as .gz and .zst.

    UserError for what is not there or not a record, with its line; DamagedError for a broken file.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path} (looked for {path.absolute()}).")
    file = File(path.name, str(path), lambda: path.open("rb"))
    if file.format not in rows.FORMATS:
        raise UserError(f"{path} has none of the endings that records can be read from: {', '.join(rows.FORMATS)}.")
    found = []
    for where, row in rows.rows(file, named=True):
        if isinstance(row, UserError):
            raise UserError(f"{where}: {row}.")
        found.append(dict(row))
    if not found:
        raise UserError(f"{path} holds no records.")
    return found
