"""Reading the documents of one file: text, JSON lines or Parquet, plain or compressed, without holding it whole."""

import codecs
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from firsthand.errors import DamagedError, UserError, suggest
from firsthand.text.files import File, Stream
from firsthand.types import Document

WHOLE = 4 << 20
"""A text file of at most this many characters is one document."""
PIECE = 1 << 18
"""A longer one is cut, at the ends of paragraphs, into documents of about this many characters."""

_BLOCK = 1 << 20
_NAME_IT = "Name the field that holds the text: --field NAME, in training data.field=NAME."
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def documents(file: File, field: str, source: str) -> Iterator[Document]:
    """The documents of `file`; `field` holds the text in JSON lines and Parquet. They stream: memory stays flat.

    Raises UserError for what is not text or lacks the field, DamagedError for a broken archive.
    """
    with _opened(file) as stream:
        yield from _READERS[file.format](stream, file, field, source)


def lines(file: File) -> Iterator[bytes]:
    """The lines of `file`, decompressed; what lines mean is for the caller."""
    with _opened(file) as stream:
        yield from stream


def cut(blocks: Iterator[str], whole: int = WHOLE, piece: int = PIECE) -> Iterator[str]:
    """Text that arrives in blocks, as one string if at most `whole` characters long, else in pieces of about `piece`.

    A piece ends after an empty line if there is one in its second half, else after a line, else after a word.
    Joined, the pieces are the text.
    """
    waiting = ""
    long = False
    for block in blocks:
        waiting += block
        long = long or len(waiting) > whole
        start = 0
        while long and len(waiting) - start > 2 * piece:
            end = _border(waiting, start, piece)
            yield waiting[start:end]
            start = end
        waiting = waiting[start:]
    if waiting:
        yield waiting


def no_field(where: str, field: str, there: Iterable[str]) -> UserError:
    """What to say of a record without `field` but with the fields `there`."""
    return UserError(f"{where} has no field {field!r}. {suggest(field, there)} {_NAME_IT}")


def _border(text: str, start: int, piece: int) -> int:
    half, end = start + piece // 2, start + piece
    for border in ("\n\n", "\n", " "):
        found = text.rfind(border, half, end)
        if found >= 0:
            end = found + 1
            break
    while end < start + 2 * piece and text[end] == "\n":
        end += 1
    return end


def _text(stream: Stream, file: File, field: str, source: str) -> Iterator[Document]:
    for i, piece in enumerate(cut(_decoded(stream, file))):
        yield Document(piece, file.name if i == 0 else f"{file.name}#{i}", source)


def _decoded(stream: Stream, file: File) -> Iterator[str]:
    block = stream.read(_BLOCK)
    encoding = next((name for mark, name in _MARKS if block.startswith(mark)), "utf-8")
    if b"\0" in block and encoding != "utf-16":
        raise UserError(f"{file.where} looks binary: it has a zero byte. Text files are read as UTF-8; remove it.")
    decoder = codecs.getincrementaldecoder(encoding)()
    before = 0
    while block:
        following = stream.read(_BLOCK)
        try:
            yield decoder.decode(block, final=not following)
        except UnicodeDecodeError as error:
            position = before - (len(error.object) - len(block)) + error.start
            raise UserError(
                f"{file.where} is not {encoding.removesuffix('-sig').upper()}: byte {position} is "
                f"0x{error.object[error.start]:02x}. Convert it first, for example: iconv -f LATIN1 -t UTF-8."
            ) from error
        before += len(block)
        block = following


def _json_lines(stream: Stream, file: File, field: str, source: str) -> Iterator[Document]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        where = f"{file.where}, line {number}"
        try:
            record = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError as error:
            raise UserError(f"{where}, is not UTF-8. Convert the file first: iconv -f LATIN1 -t UTF-8.") from error
        except (json.JSONDecodeError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
            raise UserError(f"{where}, is not JSON ({reason}): {line[:60]!r}. Each line must be one object.") from error
        if not isinstance(record, dict):
            raise UserError(f"{where}, is not an object but a {type(record).__name__}. Each line must be one object.")
        if field not in record:
            raise no_field(f"{where},", field, record)
        yield Document(_string(record[field], field, where), f"{file.name}:{number}", source)


def _parquet(stream: Stream, file: File, field: str, source: str) -> Iterator[Document]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(f"Reading {file.where} needs pyarrow: pip install 'firsthand[data]'.") from error
    number = 0
    try:
        table = pyarrow.parquet.ParquetFile(stream)
        names = table.schema_arrow.names
        if field not in names:
            raise no_field(file.where, field, names)
        for batch in table.iter_batches(batch_size=256, columns=[field]):
            for value in batch.column(0).to_pylist():
                number += 1
                where = f"{file.where}, row {number}"
                yield Document(_string(value, field, where), f"{file.name}:{number}", source)
    except pyarrow.ArrowInvalid as error:
        raise DamagedError(f"{file.where} is not a Parquet file, or is damaged: {error}. Fetch it again.") from error


def _string(value: Any, field: str, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UserError(f"{where}: {field!r} is not text but a {type(value).__name__}. {_NAME_IT}")
    return value


@contextmanager
def _opened(file: File) -> Iterator[Stream]:
    with file.open() as raw:
        try:
            yield _decompressed(raw, file)
        except (EOFError, zlib.error, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk or the network; what the decompressors raise has no number
            raise DamagedError(f"{file.where} is damaged or cut short: {error}. Fetch or make it again.") from error


def _decompressed(raw: Stream, file: File) -> Stream:
    if file.compression == ".gz":
        return gzip.GzipFile(fileobj=cast(Any, raw))
    if file.compression == ".zst":
        try:
            import pyarrow
        except ImportError as error:
            raise UserError(f"Reading {file.where} needs pyarrow: pip install 'firsthand[data]'.") from error
        # not zstandard, whose reader ends quietly where a file was cut short
        return io.BufferedReader(pyarrow.CompressedInputStream(raw, "zstd"), _BLOCK)
    return raw


_READERS: dict[str, Callable[[Stream, File, str, str], Iterator[Document]]] = {
    ".txt": _text,
    ".md": _text,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}
