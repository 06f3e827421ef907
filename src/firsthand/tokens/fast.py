"""Many texts to arrays of ids, as fast as we can: the same ids as `encode`, from memory wherever a stretch recurs.

A text is cut into coarse chunks; each chunk's ids are looked up, and worked out only where the chunk is new. Large
inputs go to one process a core. Measured beside tiktoken and Hugging Face in docs/tokenizers.md.
"""

import functools
import json
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from operator import itemgetter

import numpy as np

from firsthand.text.pool import ordered_map
from firsthand.tokens import TableTokenizer, Tokenizer, of_json

REMEMBERED = 1 << 19
"""Chunks in a memo; beyond that it starts anew. 25 MB of Python sources have 480,000 different ones."""
LONGEST = 128
"""Characters: a longer chunk hardly comes twice."""
BATCH = 1 << 20
TOGETHER = 1 << 16
"""Chunks whose new ones are learnt together, so that many short texts cost no more than a long one."""


class _Memo(dict[str, bytearray]):
    """text -> ids as bytes. What is missing is an empty place, to be filled before it is read, and stands in `new`."""

    def __init__(self) -> None:
        super().__init__()
        self.new: list[str] = []

    def __missing__(self, text: str) -> bytearray:
        self.new.append(text)
        self[text] = place = bytearray()
        return place

    def settle(self) -> None:
        """All places are filled and read. Forget long texts, and all when they are too many."""
        for text in self.new:
            if len(text) > LONGEST:
                del self[text]
        self.new = []
        if len(self) > REMEMBERED:
            self.clear()


class Engine:
    """Encodes into arrays of uint16, or uint32 for more than 65,536 tokens, with a memo that lasts.

    `asked`, `missed`: so many chunks were looked up, and so many of these were new.
    """

    def __init__(self, tokenizer: TableTokenizer) -> None:
        self.dtype = np.dtype(np.uint32 if tokenizer.vocab_size > 1 << 16 else np.uint16)
        self._tokenizer = tokenizer
        self._chunks, self._pieces = _Memo(), _Memo()
        self.asked = self.missed = 0

    def encode(self, texts: Iterable[str]) -> list[np.ndarray]:
        """The ids of each text."""
        return self.encode_on(self._tokenizer.before(text) + text for text in texts)

    def encode_on(self, texts: Iterable[str]) -> list[np.ndarray]:
        """The ids of each part of a text, with nothing put before it."""
        look_up = self._chunks.__getitem__
        encoded: list[bytearray] = []
        waiting: list[tuple[bytearray, list[bytearray]]] = []
        size = 0
        for text in texts:
            encoded.append(ids := bytearray())
            for chunks in self._tokenizer.split.chunks(self._tokenizer.prepare(text)):
                waiting.append((ids, list(map(look_up, chunks))))
                size += len(chunks)
                self.asked += len(chunks)
                if size >= TOGETHER:
                    self._finish(waiting)
                    waiting, size = [], 0
        self._finish(waiting)
        return [np.frombuffer(ids, self.dtype) for ids in encoded]

    def _finish(self, waiting: list[tuple[bytearray, list[bytearray]]]) -> None:
        """Learn the new chunks, all at once, then add the ids of each list of chunks to what stands beside it."""
        lots = [
            (cut, list(map(self._pieces.__getitem__, cut.pieces)))
            for cut in self._tokenizer.split.cut(self._chunks.new)
        ]
        self.missed += len(self._chunks.new)
        new = self._pieces.new
        for piece, found in zip(new, self._tokenizer.encode_pieces(new, self.dtype), strict=True):
            self._pieces[piece] += found
        for cut, parts in lots:
            left = iter(parts)
            for chunk, count in zip(cut.chunks, cut.counts, strict=True):
                self._chunks[chunk] += b"".join(islice(left, count))
        for ids, parts in waiting:
            ids += b"".join(parts)
        self._pieces.settle()
        self._chunks.settle()


def encode_all(tokenizer: Tokenizer, texts: Iterable[str], workers: int | None = None) -> Iterator[np.ndarray]:
    """The ids of each text, in order, one array a text; `texts` is read a million characters ahead.

    Large inputs go to `workers` processes (absent: one a core once it pays, after a few seconds of work). A tokenizer
    from outside this project is asked text by text.
    """
    for parts in encode_parts(tokenizer, texts, workers):
        first, *others = parts
        yield np.concatenate([first, *others]) if others else first


def encode_parts(
    tokenizer: Tokenizer, texts: Iterable[str], workers: int | None = None
) -> Iterator[Iterator[np.ndarray]]:
    """The same, each text's ids in parts, of which there is one at least, in order.

    A text's parts are to be taken before the next text's. Long texts are cut where a piece certainly begins, so the ids
    are those of the whole, and beside the texts no more is in memory than some millions of characters are worth.
    """
    if not isinstance(tokenizer, TableTokenizer):
        dtype = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32
        yield from (iter([np.array(tokenizer.encode(text), dtype=dtype)]) for text in texts)
        return
    work = functools.partial(_encode, json.dumps(tokenizer.to_json()))
    try:
        done = ordered_map(work, _batches(_parts(tokenizer, texts)), workers)
        numbered = ((number, ids) for numbers, arrays in done for number, ids in zip(numbers, arrays, strict=True))
        for _, same in groupby(numbered, itemgetter(0)):
            yield (ids for _, ids in same)
    finally:
        _engine.cache_clear()


def _parts(tokenizer: TableTokenizer, texts: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Each text, with what is put before it, and its number; the long ones in several parts."""
    for number, text in enumerate(texts):
        text = tokenizer.before(text) + text
        for part in tokenizer.split.parts(text) if len(text) > BATCH else (text,):
            yield number, part


def _batches(parts: Iterable[tuple[int, str]]) -> Iterator[tuple[list[int], list[str]]]:
    numbers: list[int] = []
    batch: list[str] = []
    size = 0
    for number, part in parts:
        numbers.append(number)
        batch.append(part)
        size += len(part)
        if size >= BATCH:
            yield numbers, batch
            numbers, batch, size = [], [], 0
    yield numbers, batch


def _encode(definition: str, batch: tuple[list[int], list[str]]) -> tuple[list[int], list[np.ndarray]]:
    numbers, texts = batch
    return numbers, _engine(definition).encode_on(texts)


@functools.lru_cache(maxsize=1)
def _engine(definition: str) -> Engine:
    """One engine a process, so that its memos last from batch to batch."""
    return Engine(of_json(json.loads(definition)))
