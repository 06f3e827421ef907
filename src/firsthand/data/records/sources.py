"""Records by name, and those of files, folders and the hub."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from firsthand.data.records import layouts, rows
from firsthand.data.records.plays import conversations, genres
from firsthand.data.records.schema import Conversation, Row, digest
from firsthand.errors import UserError, suggest
from firsthand.text import corpora, files, hub
from firsthand.types import Document, Message

SHOWN = 20
"""So many of the rows that were left out are listed."""


@dataclass
class Reading:
    """What became of the rows that were read. `bad`: where the first of them stand and what is wrong with them."""

    rows: int = 0
    layouts: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    skipped: int = 0
    bad: list[str] = field(default_factory=list)

    def leave_out(self, where: str, error: UserError, skip_bad: bool) -> None:
        """Count and list a row that cannot be used; UserError unless that was asked for."""
        complaint = f"{where}: {error}"
        if not skip_bad:
            raise UserError(
                f"{complaint}. Put the row right, or leave out such rows (they are counted and listed): "
                "data.skip_bad=true."
            ) from None
        self.skipped += 1
        if len(self.bad) < SHOWN:
            self.bad.append(complaint)


def dialogues() -> Iterator[Row]:
    """The conversations of `chatterbot-corpus`, User and Bot in turn."""
    for document in corpora.dialogues():
        yield Row(Conversation(tuple(_turns(document))), f"dialogues, {document.name}", "dialogues")


def _turns(document: Document) -> Iterator[Message]:
    """The lines of User: and Bot: (what one says may go on in the next line)."""
    role, said = "", ""
    for line in document.text.splitlines():
        speaker, _, words = line.partition(": ")
        if speaker in ("User", "Bot"):
            if role:
                yield Message(role, said)
            role, said = {"User": "user", "Bot": "assistant"}[speaker], words
        else:
            said += f"\n{line}"
    if role:
        yield Message(role, said)


RECORDS: dict[str, Callable[[], Iterator[Row]]] = {
    "shakespeare": conversations,
    "dialogues": dialogues,
    "genres": genres,
}
"""Records that need no download."""


def read(source: str | list[str], reading: Reading, skip_bad: bool = False) -> Iterator[Row]:
    """The records of `source`, each once, and in `reading` what became of all rows.

    A source is a name in RECORDS; a file, folder or glob of .jsonl, .json, .tsv, .csv (each also .gz, .zst) and
    .parquet; hf:NAME; or a list of these. The layout is told by a row's keys. UserError names the file and line of a
    row that fits none, unless `skip_bad`.
    """
    seen: set[bytes] = set()
    for one in source if isinstance(source, list) else [source]:
        before = reading.rows
        for row in _rows(one, reading, skip_bad):
            reading.layouts[row.layout] = reading.layouts.get(row.layout, 0) + 1
            key = digest(row.record)
            if key in seen:
                reading.duplicates += 1
                continue
            seen.add(key)
            yield row
        if reading.rows == before:
            raise UserError(f"The source {one} holds no records. Check that it is what you meant.")


def _rows(source: str, reading: Reading, skip_bad: bool) -> Iterator[Row]:
    if source in RECORDS:
        for row in RECORDS[source]():
            reading.rows += 1
            yield row
        return
    for where, found in _read(source):
        reading.rows += 1
        try:
            if isinstance(found, UserError):
                raise found
            record, layout = layouts.convert(found)
        except UserError as error:
            reading.leave_out(where, error, skip_bad)
        else:
            yield Row(record, where, layout)


def _read(source: str) -> Iterator[tuple[str, Mapping[str, Any] | UserError]]:
    if source.startswith("hf:"):
        yield from ((f"{source}, row {i}", row) for i, row in enumerate(hub.rows(source.removeprefix("hf:")), start=1))
        return
    try:
        found = files.find_local(source, rows.FORMATS)
    except UserError as error:
        if any(mark in source for mark in "/\\*?[."):
            raise
        raise UserError(f"There are no records {source!r}, and no such file. {suggest(source, RECORDS)}") from error
    for file in found:
        yield from rows.rows(file)
