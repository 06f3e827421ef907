"""Claim: text becomes token shards on all cores, and memory does not grow with the corpus.

Made-up documents of 100 kB, of words drawn as in a language (Zipf), are written as JSON lines while they are read; a
last one has a megabyte. `firsthand prepare --tokenizer` does the work in a process of its own: "peak" is
its memory, "workers" that of its largest worker. Beside it `tokenizers` encodes the same lines in batches of 1,000
documents on all cores, which neither cleans nor writes, up to 100 MB; without it a row says so. The ids must be as
many.
FIRSTHAND_BULK_MB=10,100,1000 says how much text; sizes that would fill a third of the free disk are left out.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from firsthand.data.shards import Tokens
from firsthand.tokens import TOKENIZERS

MEGABYTES = tuple(int(size) for size in os.environ.get("FIRSTHAND_BULK_MB", "10,100,1000").split(","))
WORDS, DOCUMENT, LAST, VOCABULARY = 50_000, 100_000, 1_000_000, 8192
PEER_MEGABYTES = 100
"""Its rate does not change with the size, and a gigabyte takes it six minutes."""

OURS = """
import json, resource, sys
from benchmarks.process import peak_kilobytes
from firsthand.cli import main

folder, workers = sys.argv[1:]
options = ["--tokenizer", folder, "--validation", "0", "--clean", "none", "--overwrite", "--json"]
try:
    main(["prepare", f"{folder}/text.jsonl", "--out", f"{folder}/tokens", "--workers", workers, *options])
finally:
    peaks = [peak_kilobytes(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]
    print(json.dumps(peaks), file=sys.stderr)
"""
THEIRS = """
import itertools, json, sys
from benchmarks.process import peak_kilobytes
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file(f"{sys.argv[1]}/tokenizer.json")
tokenizer.encode_special_tokens = True
tokens = 0
with open(f"{sys.argv[1]}/text.jsonl", encoding="utf-8") as lines:
    while batch := [json.loads(line)["text"] for line in itertools.islice(lines, 1000)]:
        tokens += sum(len(found.ids) + 1 for found in tokenizer.encode_batch(batch))
print(json.dumps([peak_kilobytes(), tokens]), file=sys.stderr)
"""


def rows(sizes: Sequence[int] = MEGABYTES, workers: Sequence[int] = ()) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        TOKENIZERS["bpe"].train(_texts(2, 1), VOCABULARY).save(folder)
        for size in sizes:
            if 3e6 * size > shutil.disk_usage(folder).free:
                continue
            with (folder / "text.jsonl").open("w", encoding="utf-8") as file:
                file.writelines(json.dumps({"text": text}) + "\n" for text in _texts(size, 0))
            for count in workers or sorted({1, os.cpu_count() or 1}):
                seconds, (peak, of_workers) = _run(OURS, folder, str(count))
                found.append(
                    _row(size, f"firsthand, {count} worker(s)", seconds, peak) | {"workers (MB)": of_workers / 1e3}
                )
            if size <= PEER_MEGABYTES:
                found.append(_beside(size, folder))
    return found


def _beside(size: int, folder: Path) -> dict[str, Any]:
    try:
        import tokenizers  # noqa: F401
    except ImportError:
        return {"corpus (MB)": size, "who": "tokenizers: not installed"}
    seconds, (peak, tokens) = _run(THEIRS, folder)
    ours = len(Tokens.open(folder / "tokens" / "train"))
    assert tokens == ours, f"tokenizers makes {tokens:,} tokens of the text, firsthand {ours:,}"
    return _row(size, "tokenizers, encode_batch", seconds, peak)


def _row(size: int, who: str, seconds: float, peak: float) -> dict[str, Any]:
    return {"corpus (MB)": size, "who": who, "MB/s": size / seconds, "peak (MB)": peak / 1e3}


def _run(program: str, folder: Path, *arguments: str) -> tuple[float, list[float]]:
    """Seconds of a whole process, and the numbers in the last line of its standard error (memory in kB)."""
    start = time.perf_counter()
    command = [sys.executable, "-c", program, str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"the process ended with {done.returncode}: {done.stderr[-500:]}")
    return seconds, json.loads(done.stderr.splitlines()[-1])


def _texts(megabytes: int, seed: int) -> Iterator[str]:
    random = np.random.default_rng(seed)
    letters = np.random.default_rng(9).integers(ord("a"), ord("z") + 1, (WORDS, 9))
    lengths = np.random.default_rng(8).integers(2, 10, WORDS)
    words = [bytes(row[:length].astype(np.uint8)).decode() for row, length in zip(letters, lengths, strict=True)]
    left = megabytes * 1_000_000

    def text(size: int) -> str:
        chosen = np.minimum(random.zipf(1.3, size // 4) - 1, WORDS - 1)
        return " ".join([words[number] for number in chosen])[:size] + "\n"

    while left > LAST:
        yield text(DOCUMENT)
        left -= DOCUMENT + 1
    yield "".join(text(DOCUMENT) for _ in range(left // DOCUMENT))
