"""Many texts to arrays of ids, as fast as we can: the same ids as `encode`, from memory wherever a stretch recurs.

A text is cut into coarse chunks by the standard library; each chunk's ids are looked up, and worked out only where the
chunk is new. Large inputs go to one process a core. Measured beside tiktoken and Hugging Face in docs/tokenizers.md.
"""

import functools
import json
from array import array
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from firsthand.text.pool import ordered_map
from firsthand.tokens import TableTokenizer, Tokenizer, of_json

REMEMBERED = 1 << 18
"""Chunks in a memo: about 50 MB. Full, it starts anew."""
LONGEST = 64
"""Characters: a longer chunk hardly comes twice."""
BATCH = 1 << 20


class _Memo(dict[str, bytes]):
    """text -> ids as bytes; what is missing is worked out and kept."""

    def __init__(self, encode: Callable[[str], bytes]) -> None:
        super().__init__()
        self._encode = encode

    def __missing__(self, text: str) -> bytes:
        ids = self._encode(text)
        if len(text) <= LONGEST:
            if len(self) >= REMEMBERED:
                self.clear()
            self[text] = ids
        return ids


class Engine:
    """Encodes into arrays of uint16, or uint32 for more than 65,536 tokens, with a memo that lasts."""

    def __init__(self, tokenizer: TableTokenizer) -> None:
        wide = tokenizer.vocab_size > 1 << 16
        self.dtype = np.dtype(np.uint32 if wide else np.uint16)
        code = "I" if wide else "H"
        self._split = tokenizer.split
        pieces = _Memo(lambda piece: array(code, tokenizer.encode_piece(piece)).tobytes())
        self._chunks = _Memo(lambda chunk: b"".join(map(pieces.__getitem__, self._split.pieces(chunk))))

    def encode(self, texts: Iterable[str]) -> list[np.ndarray]:
        """The ids of each text."""
        arrays = []
        look_up, cut = self._chunks.__getitem__, self._split.chunks
        for text in texts:
            ids = bytearray()
            for chunks in cut(text):
                ids += b"".join(map(look_up, chunks))
            arrays.append(np.frombuffer(ids, self.dtype))
        return arrays


def encode_all(tokenizer: Tokenizer, texts: Iterable[str], workers: int | None = None) -> Iterator[np.ndarray]:
    """The ids of each text, in order, one array a text; `texts` is read a million characters ahead.

    Large inputs go to `workers` processes (absent: one a core once it pays, after a few seconds of work). A tokenizer
    from outside this project is asked text by text.
    """
    if not isinstance(tokenizer, TableTokenizer):
        dtype = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32
        yield from (np.array(tokenizer.encode(text), dtype=dtype) for text in texts)
        return
    work = functools.partial(_encode, json.dumps(tokenizer.to_json()))
    try:
        for arrays in ordered_map(work, _batches(texts), workers):
            yield from arrays
    finally:
        _engine.cache_clear()


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    yield batch


def _encode(definition: str, texts: list[str]) -> list[np.ndarray]:
    return _engine(definition).encode(texts)


@functools.lru_cache(maxsize=1)
def _engine(definition: str) -> Engine:
    """One engine a process, so that its memos last from batch to batch."""
    return Engine(of_json(json.loads(definition)))
