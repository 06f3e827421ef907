"""Tokens to read: NPY files of ids that are memory-mapped, where each document starts, and an index with hashes."""

import json
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from firsthand.data.index import AGAIN, INDEX, check, load_array, read_index
from firsthand.errors import DamagedError

Ids: TypeAlias = NDArray[np.integer[Any]]

IN_MEMORY = 1 << 28
"""Corpora of up to so many bytes are read into memory, larger ones are memory-mapped."""


class Tokens:
    """A long row of token ids, in memory or on disk, that knows where its documents start.

    `document_starts`: int64, ascending, from 0. `end_of_text`: the id that ends each document, or None.
    `fingerprint`: of the tokenizer that made the ids, "" if unknown. `names`: of the documents, [] if not kept.
    """

    def __init__(
        self,
        shards: list[Ids],
        document_starts: NDArray[np.int64],
        vocab_size: int,
        end_of_text: int | None = None,
        fingerprint: str = "",
        names: Path | None = None,
    ) -> None:
        self._shards = shards
        self._offsets = np.cumsum([0, *(len(shard) for shard in shards)])
        self.document_starts = document_starts
        self.vocab_size = vocab_size
        self.end_of_text = end_of_text
        self.fingerprint = fingerprint
        self._names = names

    @classmethod
    def of(
        cls, array: Ids, document_starts: Ids | None = None, vocab_size: int = 0, end_of_text: int | None = None
    ) -> "Tokens":
        """Tokens that are in memory already; one document unless `document_starts` says otherwise."""
        starts = np.zeros(1, np.int64) if document_starts is None else document_starts.astype(np.int64)
        return cls([array], starts, vocab_size or int(array.max(initial=0)) + 1, end_of_text)

    @classmethod
    def open(cls, dir: str | Path, verify: bool = False, in_memory: int = IN_MEMORY) -> "Tokens":
        """What `write_shards` wrote to `dir`. Sizes are always checked, with `verify` every byte too.

        Raises UserError if there is nothing, DamagedError if it is not what was written.
        """
        dir = Path(dir)
        index = read_index(dir)
        for name, entry in index["files"].items():
            check(dir, name, entry, verify)
        starts = load_array(dir / "documents.npy")
        shards: list[Ids] = [load_array(dir / name) for name in sorted(index["files"]) if name.startswith("tokens-")]
        if sum(len(shard) for shard in shards) != index["tokens"] or len(starts) != index["documents"]:
            raise DamagedError(f"{dir}: the files hold another number of tokens than {INDEX} says. {AGAIN}")
        if sum(shard.nbytes for shard in shards) <= in_memory:
            shards = [np.concatenate(shards)]
        names = dir / "names.jsonl" if "names.jsonl" in index["files"] else None
        return cls(shards, np.array(starts), index["vocab_size"], index["end_of_text"], index["fingerprint"], names)

    def __len__(self) -> int:
        return int(self._offsets[-1])

    @property
    def names(self) -> list[str]:
        if self._names is None:
            return []
        with self._names.open(encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]

    def slice(self, start: int, stop: int) -> Ids:
        """The tokens from `start` up to, not including, `stop` (0 <= start <= stop <= len), across shards."""
        assert 0 <= start <= stop <= len(self), f"[{start}:{stop}] of {len(self)} tokens"
        first = int(np.searchsorted(self._offsets, start, side="right")) - 1
        parts = []
        for shard, offset in zip(self._shards[first:], self._offsets[first:-1].tolist(), strict=True):
            if offset >= stop:
                break
            parts.append(shard[max(0, start - offset) : stop - offset])
        return parts[0] if len(parts) == 1 else np.concatenate([self._shards[0][:0], *parts])

    def gather(self, positions: Ids) -> Ids:
        """The tokens at `positions` (any shape, 0 <= position < len)."""
        if len(self._shards) == 1:
            return self._shards[0].take(positions)
        out = np.empty(positions.shape, self._shards[0].dtype)
        where = np.searchsorted(self._offsets, positions, side="right") - 1
        for number in np.unique(where):
            here = where == number
            out[here] = self._shards[number][positions[here] - self._offsets[number]]
        return out

    def documents_at(self, positions: Ids) -> NDArray[np.int64]:
        """The number of the document that each of `positions` lies in (0, 1, ...), in the same shape."""
        return np.searchsorted(self.document_starts, positions, side="right") - 1
