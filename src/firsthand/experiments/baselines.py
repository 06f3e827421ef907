"""What a GPT has to beat: bits per byte of honest baselines, trained on the same bytes and asked for the same bytes.

Each is `(train, heldout) -> bits per byte of heldout`. Each prices any byte string whatever: the prices are those of
a proper probability distribution (its total is at most one), so they compare with a GPT's. None takes over ten
seconds for 5 MB.
"""

import lzma
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from firsthand.experiments.ngrams import NGrams, Sequences, Shares

# a word or a run of signs, with the one space before it; other white space by itself. Joined again: the text.
PIECES = re.compile(rb" ?[A-Za-z'\x80-\xff]+| ?[^A-Za-z'\x80-\xff\s]+|\s+?(?= ?\S)|\s+")
KNOWN_FROM = 5  # times a piece must occur to be known by itself (on the plays, knowing every piece costs 4% more)
N_SHAPES = 8
END = 256


def xz(train: bytes, heldout: bytes) -> float:
    """What `heldout` adds to the size of `train` under xz -9e, with a window over all of it and its text settings."""
    dictionary = max(1 << 20, len(train) + len(heldout))
    settings = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "pb": 0, "dict_size": dictionary}
    with ThreadPoolExecutor(2) as pool:  # lzma leaves the interpreter's lock alone
        before, after = pool.map(lambda text: len(lzma.compress(text, filters=[settings])), (train, train + heldout))
    return 8 * (after - before) / len(heldout)


def byte_trigram(train: bytes, heldout: bytes) -> float:
    """Each byte from the two before it: interpolated modified Kneser-Ney over the 256 bytes."""
    model = NGrams(3, 256, Sequences.one(_bytes(train), start=256))
    probabilities = model.probabilities(Sequences.one(_bytes(heldout), start=256), base=1 / 256)
    return float(-np.log2(probabilities).mean())


def word_ngram(train: bytes, heldout: bytes) -> float:
    """Each word, sign or white space from the two before it; a rare one is spelled, byte by byte.

    A trigram model predicts the known pieces and, for rare ones, only their shape (letter case, space before).
    A rare piece then costs its shape and its spelling, by a byte model that has learned from all words of that shape.
    """
    bits = WordNGrams(train).bits(PIECES.findall(heldout))
    return float(bits.sum() / len(heldout))


class WordNGrams:
    """The model of `word_ngram`: symbols below N_SHAPES are shapes of rare pieces, the others known pieces."""

    def __init__(self, train: bytes, order: int = 3, spelling_order: int = 6) -> None:
        pieces = PIECES.findall(train)
        counts = Counter(pieces)
        known = [piece for piece, count in counts.items() if count >= KNOWN_FROM]
        self.ids = {piece: index for index, piece in enumerate(known, start=N_SHAPES)}
        self.n_symbols = N_SHAPES + len(known)
        self.words = NGrams(order, self.n_symbols, self.sequence(pieces))
        self.spelling = NGrams(spelling_order, END + 1, spelled(list(counts)), n_starts=N_SHAPES)

    def sequence(self, pieces: list[bytes]) -> Sequences:
        symbols = [self.ids[piece] if piece in self.ids else shape(piece) for piece in pieces]
        return Sequences.one(np.array(symbols, dtype=np.int64), start=self.n_symbols)

    def bits(self, pieces: list[bytes]) -> Shares:
        """-log2 P(piece | the pieces before it) for each."""
        spelling = self.spell(sorted({piece for piece in pieces if piece not in self.ids}))
        choice = self.words.probabilities(self.sequence(pieces), base=1 / self.n_symbols)
        bits: Shares = np.array([spelling.get(piece, 0.0) for piece in pieces]) - np.log2(choice)
        return bits

    def spell(self, pieces: list[bytes]) -> dict[bytes, float]:
        """-log2 P(the bytes of a piece and its end | its shape) for each."""
        if not pieces:
            return {}
        text = spelled(pieces)
        steps = -np.log2(self.spelling.probabilities(text, base=1 / (END + 1)))
        sums = np.add.reduceat(steps, np.flatnonzero(text.place == 0))
        return dict(zip(pieces, sums.tolist(), strict=True))


def shape(piece: bytes) -> int:
    """0 to 7: no word, lower case, capitalised or capitals; without and with a space before it."""
    word = piece.removeprefix(b" ")
    if not word[:1].isalpha():
        case = 0
    elif word.islower():
        case = 1
    else:
        case = 3 if word.isupper() and len(word) > 1 else 2
    return 2 * case + piece.startswith(b" ")


def spelled(pieces: list[bytes]) -> Sequences:
    """The pieces byte by byte, each with END behind it and its shape as its start."""
    lengths = np.array([len(piece) + 1 for piece in pieces])
    ends = np.cumsum(lengths)
    symbols = np.full(ends[-1], END, dtype=np.int64)
    is_byte = np.ones(len(symbols), dtype=bool)
    is_byte[ends - 1] = False
    symbols[is_byte] = _bytes(b"".join(pieces))
    place = np.arange(len(symbols)) - np.repeat(ends - lengths, lengths)
    return Sequences(symbols, place, np.repeat([END + 1 + shape(piece) for piece in pieces], lengths))


def _bytes(text: bytes) -> np.ndarray:
    return np.frombuffer(text, dtype=np.uint8).astype(np.int64)


BASELINES: dict[str, Callable[[bytes, bytes], float]] = {
    "xz": xz,
    "byte_trigram": byte_trigram,
    "word_ngram": word_ngram,
}
