"""Token shards written: document after document, a part at a time, whole or not at all."""

import contextlib
import json
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from firsthand.data.columns import Column, Columns
from firsthand.data.index import INDEX, write_index
from firsthand.data.shards import Ids, Tokens
from firsthand.errors import UserError

SHARD_TOKENS = 1 << 27


def write_shards(
    documents: Iterable[Ids | Iterable[Ids]],
    dir: str | Path,
    vocab_size: int,
    end_of_text: int | None,
    fingerprint: str = "",
    names: Iterable[str] | None = None,
    shard_tokens: int = SHARD_TOKENS,
) -> Tokens:
    """Write the ids of all documents to the folder `dir`, each followed by `end_of_text` (if not None), and open it.

    uint16 where vocab_size allows it, else uint32. A document is an array, or several that are taken one by one. The
    folder appears whole or not at all; token shards that are already there are replaced, any other content is left
    alone (UserError). UserError if there are no tokens or an id is not below vocab_size.
    """
    dir = Path(dir)
    if dir.exists() and not (dir / INDEX).is_file() and (not dir.is_dir() or any(dir.iterdir())):
        raise UserError(f"{dir} holds something else than token shards. Name an empty or new folder.")
    dir.parent.mkdir(parents=True, exist_ok=True)
    temporary = dir.parent / f".tmp-{uuid.uuid4().hex}"
    try:
        with Shards(temporary, vocab_size, end_of_text, fingerprint, names is not None, shard_tokens) as shards:
            if names is None:
                for document in documents:
                    shards.write(document)
            else:
                for document, name in zip(documents, names, strict=True):
                    shards.write(document, name)
        _put(temporary, dir)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Tokens.open(dir)


class Shards:
    """The new folder of token shards `folder`, open to be written to; without an error at the end it gets its index.

    A context. UserError at its end if there are no tokens.
    """

    def __init__(
        self,
        folder: Path,
        vocab_size: int,
        end_of_text: int | None,
        fingerprint: str = "",
        named: bool = True,
        shard_tokens: int = SHARD_TOKENS,
    ) -> None:
        self._folder = folder
        self._fields = {"vocab_size": vocab_size, "end_of_text": end_of_text, "fingerprint": fingerprint}
        self._vocab_size = vocab_size
        self._dtype = np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")
        self._end = np.array([] if end_of_text is None else [end_of_text], self._dtype)
        self.tokens = 0
        folder.mkdir()
        with contextlib.ExitStack() as stack:
            self._starts = stack.enter_context(Column(folder / "documents.npy", np.dtype("<i8")))
            self._ids = stack.enter_context(Columns(folder, self._dtype, shard_tokens))
            lines = (folder / "names.jsonl").open("w", encoding="utf-8") if named else None
            self._lines = stack.enter_context(lines) if lines else None
            self._open = stack.pop_all()

    @property
    def documents(self) -> int:
        return self._starts.length

    def write(self, document: Ids | Iterable[Ids], name: str = "") -> None:
        """Append a document: its ids, or parts of them in order."""
        self._starts.append(np.array([self.tokens], "<i8"))
        for part in [document] if isinstance(document, np.ndarray) else document:
            self._check(part)
            self._append(part)
        self._append(self._end)
        if self._lines:
            self._lines.write(json.dumps(name) + "\n")

    def _append(self, ids: Ids) -> None:
        self._ids.append(ids.astype(self._dtype))
        self.tokens += len(ids)

    def _check(self, ids: Ids) -> None:
        if len(ids) and not 0 <= ids.min() <= ids.max() < self._vocab_size:
            size = self._vocab_size
            wrong = int(ids.max() if ids.max() >= size else ids.min())
            raise UserError(
                f"Document {self.documents - 1} holds the token id {wrong}; with vocab_size={size:,} ids go "
                f"from 0 to {size - 1:,}. The tokenizer is not the one these ids were made with."
            )

    def __enter__(self) -> "Shards":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)
        if error is None:
            if self.tokens == 0:
                raise UserError("There are no tokens to write: the text is empty.")
            counts: dict[str, Any] = {"tokens": self.tokens, "documents": self.documents}
            write_index(self._folder, {**counts, **self._fields})


def _put(temporary: Path, dir: Path) -> None:
    """Make `temporary` the folder `dir`; what was there is out of the way first and gone last."""
    old = temporary.with_name(temporary.name + ".old")
    if dir.exists():
        dir.rename(old)
    temporary.rename(dir)
    shutil.rmtree(old, ignore_errors=True)
