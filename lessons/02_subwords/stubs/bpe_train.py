"""Byte pair encoding, learnt: again and again the most frequent pair of neighbours becomes one token."""

from collections import Counter
from collections.abc import Sequence

from firsthand.tokens.file import BYTES
from firsthand.tokens.splits import GPT2  # noqa: F401 - given

Pair = tuple[int, int]

ALPHABET = bytes.maketrans(BYTES, bytes(range(256)))
"""Given: bytes have the ids 0 to 255 in GPT-2's order, ! first. list("é".encode().translate(ALPHABET)) is its ids."""


def count_pairs(ids: Sequence[int]) -> Counter[Pair]:
    """How often each pair of neighbours occurs in `ids`: in a a a the pair (a, a) occurs twice."""
    raise NotImplementedError


def merge(ids: Sequence[int], pair: Pair, new_id: int) -> list[int]:
    """`ids` with each `pair` replaced by `new_id`, from left to right: in a a a the first two are replaced."""
    raise NotImplementedError


def train_bpe(text: str, vocab_size: int, specials: Sequence[str] = ()) -> list[Pair]:
    """The pairs to merge, in the order in which they are learnt; pair number k becomes the token 256 + k.

    The vocabulary of `vocab_size` tokens consists of 256 bytes, the merges and the specials. If every piece has become
    one token before it is full, the list is shorter.

    1. Cut the text at the specials, which are no part of any piece. Cut the rest into pieces: GPT2.pieces(part), given.
       No pair crosses the border of a piece.
    2. Turn each piece into the ids of its bytes (UTF-8, then ALPHABET).
    3. Count the pairs of all pieces, merge the most frequent one everywhere, and begin again. Of equally frequent
       pairs take the smaller one, as Python compares pairs of ids.
    """
    raise NotImplementedError
