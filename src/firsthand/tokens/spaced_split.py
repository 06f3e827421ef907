"""Cutting at spaces: `str.split` finds chunks in a quarter of the time that a pattern takes."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from firsthand.tokens.split import BLOCK, Cut, Split

COUNTED = 1 << 14
"""Characters that are counted at once: so few that most are ASCII even where the text is not."""
SPACE, RAW = "\x0e", "\x0f"
"""In chunks: a space where none may be cut; and, first, that no space belongs before. Rare in text, and allowed."""
UNSURE = 3
"""The last pieces of a text may become others when more text follows: a word, a contraction, a run of white space."""
WHITES = "".join(map(chr, [*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F]))
WHITES += "\u205f\u3000"
"""Unicode's white space; `str.isspace` and `re` would add \\x1c to \\x1f."""

_NO_BORDER = WHITES + SPACE


@dataclass(frozen=True)
class SpacedSplit(Split):
    """A split in which a piece always begins at a space that something other than white space follows.

    There texts are cut: a chunk stands for such a space and what follows it up to the next. `ascii` is `pattern` as the
    standard library's `re` understands it, for ASCII alone and twice as fast as `regex`.

    With `digits_first` all white space before a digit is one piece, so texts are cut only at spaces that have nothing
    white at either side.
    """

    coarse: str = ""
    ascii: str = ""

    @cached_property
    def _quick(self) -> re.Pattern[str]:
        return re.compile(self.ascii)

    def pieces(self, text: str) -> list[str]:
        return self._quick.findall(text) if text.isascii() else super().pieces(text)

    def chunks(self, text: str, block: int = BLOCK) -> Iterator[list[str]]:
        for raw, hidden in self._blocks(text, block):
            if SPACE in raw or RAW in raw:
                yield [RAW + piece for piece in self.pieces(raw)]
            else:
                found = hidden.split(" ")
                last = len(found[-1]) + 1
                if self.digits_first and found[-1][-1:] in _NO_BORDER and len(found) > 1:
                    found[-1] = RAW + raw[-last:]  # what comes after it in `cut` would change it
                found[0] = RAW + raw[: len(found[0])]
                yield found

    def parts(self, text: str, size: int = BLOCK) -> Iterator[str]:
        return (raw for raw, _ in self._blocks(text, size))

    def cut(self, chunks: Iterable[str]) -> Iterator[Cut]:
        raw: list[str] = []
        plain: list[str] = []
        other: list[str] = []
        for chunk in chunks:
            (raw if chunk.startswith(RAW) else plain if chunk.isascii() else other).append(chunk)
        for cut in super().cut([chunk[1:] for chunk in raw]):
            yield Cut(raw, cut.pieces, cut.counts)
        for lot in (plain, other):
            if lot:
                pieces = self.pieces(" " + " ".join(lot).replace(SPACE, " "))
                yield Cut(lot, pieces, _counts(lot, pieces))

    def count(self, texts: Iterable[str]) -> Counter[str]:
        pieces: Counter[str] = Counter()
        for text in texts:
            for raw, _ in self._blocks(text, COUNTED):
                pieces.update(self.pieces(raw))
        return pieces

    def _blocks(self, text: str, block: int) -> Iterator[tuple[str, str]]:
        """Parts of `text` that end where a piece does, as they are and with spaces hidden, of about `block` characters.

        They end at a space or a line's end; where there is none (Chinese, one long line), at a piece that is found by
        the pattern.
        """
        start, size = 0, block
        while start < len(text):
            raw = text[start : start + size]
            hidden = _hide_spaces(raw, self.digits_first)
            if start + size < len(text):
                border = _last_border(hidden) or self._last_piece(raw)
                if not border:
                    size *= 2
                    continue
                raw, hidden = raw[:border], hidden[:border]
            if hidden.endswith(" "):
                hidden = hidden[:-1] + SPACE
            yield raw, hidden
            start, size = start + len(raw), block

    def _last_piece(self, text: str) -> int:
        """The last place where a piece surely begins, behind one that is the same when nothing follows; 0: none."""
        pieces = self.pieces(text)[:-UNSURE]
        while pieces and pieces[-1][-1] in WHITES:
            pieces.pop()
        return sum(map(len, pieces))


def _counts(chunks: list[str], pieces: list[str]) -> list[int]:
    """How many of `pieces` each of `chunks` has, if each has whole ones, in order."""
    chunk_ends = np.cumsum([len(chunk) + 1 for chunk in chunks])
    piece_ends = np.cumsum(list(map(len, pieces)))
    found: list[int] = np.diff(np.searchsorted(piece_ends, chunk_ends), prepend=-1).tolist()
    return found


def _hide_spaces(text: str, alone: bool) -> str:
    """`text`, as long as it was, without the spaces before white space. Of a run of spaces the last may be left.

    `alone`: that one is hidden too, and so is each space after white space.
    """
    text = text.replace("  ", SPACE + SPACE)
    if alone:
        text = text.replace(SPACE + " ", SPACE + SPACE)
    for white in WHITES[:5] if text.isascii() else WHITES:
        if white in text:
            text = text.replace(" " + white, SPACE + white)
            if alone:
                text = text.replace(white + " ", white + SPACE)
    return text


def _last_border(hidden: str) -> int:
    """The last place where a chunk surely begins, 0 if there is none."""
    if (space := hidden.rfind(" ", 1, -1)) > 0:  # what stands behind one at the end is not known yet
        return space
    line = hidden.rfind("\n", 1, -1)  # else a line's end with nothing white at either side
    while line > 0 and (hidden[line - 1] in _NO_BORDER or hidden[line + 1] in _NO_BORDER):
        line = hidden.rfind("\n", 1, line)
    return line + 1
