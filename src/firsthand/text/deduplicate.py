"""Documents that were there before: exactly (a hash of the text) or nearly (MinHash and LSH, by datasketch).

Nearly: both texts as sets of runs of five words; MinHash estimates the share of runs that two sets have in common
(Broder 1997), and locality-sensitive hashing finds the candidates without comparing all pairs (Leskovec et al.,
*Mining of Massive Datasets*, chapter 3).
"""

import hashlib
from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np
import regex
from jaxtyping import UInt

from firsthand.errors import UserError

THRESHOLD = 0.8
PERMUTATIONS = 128
_RUN = 5
_CHUNK = 4096
# A word, or one character of the scripts that set no blanks between words.
_WORD = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]|\w+", regex.V1)


class ExactDuplicates:
    """Remembers texts by 64 bits of hash: about 16 bytes a document, so that millions fit in memory.

    Open addressing in one flat array; 0 marks an empty slot. Among n documents two different texts share their
    64 bits with probability n² / 2^65, one in 37 million for a million documents.
    """

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * 1024))
        self._used = 0

    def seen(self, key: int) -> bool:
        """Whether `key` (from `digest`) came before; it is remembered either way."""
        if 2 * (self._used + 1) > len(self._slots):
            old, self._slots = self._slots, array("Q", bytes(16 * len(self._slots)))
            for other in old:
                if other:
                    self._slots[self._slot(other)] = other
        slot = self._slot(key)
        if self._slots[slot]:
            return True
        self._slots[slot] = key
        self._used += 1
        return False

    def _slot(self, key: int) -> int:
        slots, mask = self._slots, len(self._slots) - 1
        slot = key & mask
        while slots[slot] not in (0, key):
            slot = (slot + 1) & mask
        return slot


def digest(text: str) -> int:
    """64 bits of the text's hash, never 0."""
    found = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(found, "little") or 1


class NearDuplicates:
    """Remembers every document kept by its signature and its buckets: about 4 kB a document.

    Raises UserError when datasketch is missing.
    """

    def __init__(self, threshold: float = THRESHOLD) -> None:
        library = _datasketch()
        self._threshold = threshold
        self._index = library.MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS)
        self._kept: list[tuple[str, Any]] = []

    def seen(self, name: str, signature: UInt[np.ndarray, " permutations"]) -> str | None:
        """The name of an earlier document at least `threshold` alike; if there is none, this one is remembered."""
        sketch = _sketch(signature)
        alike = [(self._kept[i][1].jaccard(sketch), -i) for i in self._index.query(sketch)]
        similarity, minus_i = max(alike, default=(0.0, 0))
        if similarity >= self._threshold:
            return self._kept[-minus_i][0]
        self._index.insert(len(self._kept), sketch)
        self._kept.append((name, sketch))
        return None


def signature(text: str) -> UInt[np.ndarray, " permutations"]:
    """The MinHash of the text's runs of five words (of the whole text where it has fewer), case not counting."""
    sketch = _sketch(None)
    chunk: list[bytes] = []
    for run in _runs(text):
        chunk.append(run)
        if len(chunk) == _CHUNK:
            sketch.update_batch(chunk)
            chunk = []
    sketch.update_batch(chunk)
    values: UInt[np.ndarray, " permutations"] = sketch.hashvalues
    return values


def _runs(text: str) -> Iterator[bytes]:
    words = _WORD.findall(text.lower())
    for start in range(max(1, len(words) - _RUN + 1)):
        yield " ".join(words[start : start + _RUN]).encode("utf-8", "surrogatepass")


def _sketch(values: UInt[np.ndarray, " permutations"] | None) -> Any:
    sketch = _datasketch().MinHash(num_perm=PERMUTATIONS)
    if values is not None:
        sketch.hashvalues = values
    return sketch


def _datasketch() -> Any:
    try:
        import datasketch
    except ImportError as error:
        raise UserError(
            "Finding near duplicates needs datasketch. Install it (pip install 'firsthand[data]') or use "
            "deduplicate: exact."
        ) from error
    return datasketch
