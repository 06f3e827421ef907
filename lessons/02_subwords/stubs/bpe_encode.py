"""Byte pair encoding, applied: what was learnt first is merged first."""

from collections.abc import Iterable, Sequence

from firsthand.tokens.file import BYTES
from firsthand.tokens.splits import GPT2  # noqa: F401 - given

Pair = tuple[int, int]

ALPHABET = bytes.maketrans(BYTES, bytes(range(256)))
"""Given: byte to id. BYTES[id] is the way back, for the ids 0 to 255."""


def bpe_encode(text: str, merges: Sequence[Pair], specials: Sequence[str] = ()) -> list[int]:
    """The ids of `text`. merges[k] becomes the token 256 + k; specials[k] is the token 256 + len(merges) + k.

    Cut the text at the specials, each of which is one token. Cut the rest with GPT2.pieces(part), and turn each piece
    into the ids of its bytes. Then, while the piece holds a pair that is among the merges: of those pairs take the one
    that was learnt first, and merge it wherever it stands, from left to right.
    """
    raise NotImplementedError


def bpe_decode(ids: Iterable[int], merges: Sequence[Pair], specials: Sequence[str] = ()) -> str:
    """The text of `ids`. Their bytes are put together first and then read as UTF-8; what is none becomes U+FFFD."""
    raise NotImplementedError
