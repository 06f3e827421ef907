"""Many texts to arrays of ids, as fast as we can: the same ids as `encode`, from memory wherever a stretch recurs.

A text is cut into coarse chunks by the standard library; each chunk's ids are looked up, and worked out only where the
chunk is new. Large inputs go to one process a core. Measured beside tiktoken and Hugging Face in docs/tokenizers.md.
"""

import json
import os
import queue
import signal
import struct
import subprocess
import sys
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from typing import Any, BinaryIO

import numpy as np

from firsthand.errors import UserError
from firsthand.tokens import TableTokenizer, Tokenizer, of_json

REMEMBERED = 1 << 18
"""Chunks in a memo: about 50 MB. Full, it starts anew."""
LONGEST = 64
"""Characters: a longer chunk hardly comes twice."""
ALONE = 16 << 20
"""Characters up to which one process is done before others have started."""
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
    """`encode(text)` gives the ids as an array of uint16, or uint32 for more than 65,536 tokens."""

    def __init__(self, tokenizer: TableTokenizer) -> None:
        wide = tokenizer.vocab_size > 1 << 16
        self.dtype = np.dtype(np.uint32 if wide else np.uint16)
        code = "I" if wide else "H"
        self._split = tokenizer.split
        pieces = _Memo(lambda piece: array(code, tokenizer.encode_piece(piece)).tobytes())
        self._chunks = _Memo(lambda chunk: b"".join(map(pieces.__getitem__, self._split.pieces(chunk))))

    def encode(self, text: str) -> np.ndarray:
        ids = bytearray()
        for chunks in self._split.chunks(text):
            ids += b"".join(map(self._chunks.__getitem__, chunks))
        return np.frombuffer(ids, self.dtype)


def encode_all(tokenizer: Tokenizer, texts: Iterable[str], workers: int | None = None) -> Iterator[np.ndarray]:
    """The ids of each text, in order, one array a text; `texts` is read as the arrays are taken.

    Inputs above 16 million characters are shared among `workers` processes (absent: one a core). A tokenizer from
    outside this project is asked text by text.
    """
    if not isinstance(tokenizer, TableTokenizer):
        dtype = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32
        yield from (np.array(tokenizer.encode(text), dtype=dtype) for text in texts)
        return
    engine = Engine(tokenizer)
    workers = workers or _cores()
    source = iter(texts)
    first: list[str] = []
    size = 0
    for text in source:
        first.append(text)
        size += len(text)
        if size > ALONE:
            break
    if workers == 1 or size <= ALONE:
        yield from map(engine.encode, chain(first, source))
    else:
        with _processes(tokenizer, workers) as call:
            for parts in _in_order(call, _batches(chain(first, source)), ahead=2 * workers):
                yield from (np.frombuffer(bytearray(part), engine.dtype) for part in parts)


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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


Call = Callable[[list[str]], list[bytes]]


def _in_order(call: Call, batches: Iterable[list[str]], ahead: int) -> Iterator[list[bytes]]:
    """What `call` gives for each batch, in order, with at most `ahead` batches under way."""
    with ThreadPoolExecutor(ahead) as threads:
        waiting: deque[Future[list[bytes]]] = deque()
        for batch in batches:
            waiting.append(threads.submit(call, batch))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def _processes(tokenizer: TableTokenizer, workers: int) -> Iterator[Call]:
    """A function that has a batch encoded by one of `workers` processes, which end when their input is closed.

    Plain processes and pipes, not multiprocessing: nothing is pickled, and a script needs no __main__ guard.
    """
    command = [sys.executable, "-c", "from firsthand.tokens.fast import work; work()"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    pipe = subprocess.PIPE
    running = [subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment) for _ in range(workers)]
    idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
    definition = json.dumps(tokenizer.to_json()).encode()

    def call(batch: list[str]) -> list[bytes]:
        process = idle.get()
        try:
            return _ask(process, [text.encode(errors="surrogatepass") for text in batch])
        finally:
            idle.put(process)

    try:
        for process in running:
            _ask(process, [definition])
            idle.put(process)
        yield call
    finally:
        for process in running:
            process.kill()
            process.communicate()


def _ask(process: "subprocess.Popen[bytes]", parts: list[bytes]) -> list[bytes]:
    assert process.stdin is not None, "it was started with a pipe"
    assert process.stdout is not None, "it was started with a pipe"
    try:
        _send(process.stdin, parts)
        return _receive(process.stdout)
    except (OSError, EOFError) as error:
        raise UserError(
            "A process that tokenizes ended before its time, probably for want of memory. Try again with workers=1."
        ) from error


def _send(stream: BinaryIO | Any, parts: list[bytes]) -> None:
    stream.write(struct.pack(f"<Q{len(parts)}Q", len(parts), *map(len, parts)) + b"".join(parts))
    stream.flush()


def _receive(stream: BinaryIO | Any) -> list[bytes]:
    """The parts that the other side sent. EOFError if it has gone."""

    def exactly(size: int) -> bytes:
        found: bytes = stream.read(size)
        if len(found) < size:
            raise EOFError
        return found

    (count,) = struct.unpack("<Q", exactly(8))
    lengths = struct.unpack(f"<{count}Q", exactly(8 * count))
    return [exactly(length) for length in lengths]


def work() -> None:
    """What each process runs: take the tokenizer, then encode batch after batch until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    engine = Engine(of_json(json.loads(_receive(source)[0])))
    _send(sink, [])
    while True:
        try:
            texts = _receive(source)
        except EOFError:
            return
        _send(sink, [engine.encode(text.decode(errors="surrogatepass")).tobytes() for text in texts])
