"""A way to cut a text into pieces: what BPE and WordPiece work on. No token ever crosses the border of a piece."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

import regex

BLOCK = 1 << 18
"""Characters that are cut at once."""


class Cut(NamedTuple):
    """Some chunks, the pieces of all of them in a row, and how many of these each chunk has."""

    chunks: list[str]
    pieces: list[str]
    counts: list[int]


@dataclass(frozen=True)
class Split:
    """`pattern` finds pieces; `coarse`, for the standard library's faster `re`, finds chunks: whole numbers of pieces.

    `byte_level`: pieces are then taken as bytes. `built_in`: Hugging Face's step for bytes makes this split itself,
    with its pattern (True) or without. `digits_first`: it does so after a step that sets every digit apart.
    """

    name: str
    pattern: str
    coarse: str
    byte_level: bool = False
    built_in: bool | None = None
    digits_first: bool = False

    @cached_property
    def _fine(self) -> Any:
        return regex.compile(self.pattern)

    @cached_property
    def _coarse(self) -> re.Pattern[str]:
        return re.compile(self.coarse)

    def pieces(self, text: str) -> list[str]:
        """The pieces of `text`; joined they give it back."""
        found: list[str] = self._fine.findall(text)
        return found

    def chunks(self, text: str, block: int = BLOCK) -> Iterator[list[str]]:
        """Chunks of `text` in order, in lists of about `block` characters, so that memory stays flat.

        A chunk is a name for a stretch of text, to look up what is known of it; its pieces are had from `cut`.
        """
        start = 0
        while start < len(text):
            end = start + block
            found = self._coarse.findall(text, start, end)
            if end < len(text):  # the last two may have been cut short by the end of the block
                found = found[:-2]
            if found:
                yield found
                start += sum(map(len, found))
            else:
                block *= 2

    def parts(self, text: str, size: int = BLOCK) -> Iterator[str]:
        """`text` in stretches of about `size` characters that begin where a piece does: so each has its own pieces.

        What follows cannot change that, except for the last stretch. One without such a place stays whole.
        """
        return map("".join, self.chunks(text, size))

    def cut(self, chunks: Iterable[str]) -> Iterator[Cut]:
        """`chunks` with their pieces, in a few lots and any order."""
        chunks = list(chunks)
        pieces = [self.pieces(chunk) for chunk in chunks]
        yield Cut(chunks, list(chain.from_iterable(pieces)), list(map(len, pieces)))

    def count(self, texts: Iterable[str]) -> Counter[str]:
        """How often each piece occurs in all `texts`."""
        chunks: Counter[str] = Counter()
        for text in texts:
            for block in self.chunks(text):
                chunks.update(block)
        pieces: Counter[str] = Counter()
        for chunk, count in chunks.items():
            for piece in self.pieces(chunk):
                pieces[piece] += count
        return pieces

    def to_json(self) -> dict[str, Any]:
        """The `pre_tokenizer` of tokenizer.json."""
        if self.digits_first:
            digits = {"type": "Digits", "individual_digits": True}
            return {"type": "Sequence", "pretokenizers": [digits, byte_level(use_regex=True)]}
        if self.built_in is not None:
            return byte_level(self.built_in)
        split = {"type": "Split", "pattern": {"Regex": self.pattern}, "behavior": "Isolated", "invert": False}
        if self.byte_level:
            return {"type": "Sequence", "pretokenizers": [split, byte_level(use_regex=False)]}
        return split


def byte_level(use_regex: bool) -> dict[str, Any]:
    """Hugging Face's step from text to visible bytes; with `use_regex` it first cuts by GPT-2's pattern."""
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}
