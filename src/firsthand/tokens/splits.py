"""Where a text is cut before its pieces become tokens: the only patterns that we run, whatever a file says.

A piece is what BPE or WordPiece works on: no token ever crosses its border. Each pattern is written once as Hugging
Face stores it (and tiktoken runs it). Beside it stands a coarse pattern for the standard library's `re`, three times
faster: its chunks are whole numbers of pieces, so that a memo of chunks gives the same ids as the pieces do.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import regex

WHITE = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # Unicode's; `re` would add \x1c to \x1f
BLOCK = 1 << 20


@dataclass(frozen=True)
class Split:
    """A way to cut. `pattern` finds pieces, `coarse` chunks of pieces; `byte_level`: pieces are then taken as bytes."""

    name: str
    pattern: str
    coarse: str
    byte_level: bool = False

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
        """Lists of chunks that join to `text`, about `block` characters at a time so that memory stays flat."""
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
        if self in (GPT2, WHOLE):
            return byte_level(use_regex=self is GPT2)
        split = {"type": "Split", "pattern": {"Regex": self.pattern}, "behavior": "Isolated", "invert": False}
        if self.byte_level:
            return {"type": "Sequence", "pretokenizers": [split, byte_level(use_regex=False)]}
        return split


def byte_level(use_regex: bool) -> dict[str, Any]:
    """Hugging Face's step from text to visible bytes; with `use_regex` it first cuts by GPT-2's pattern."""
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


GPT2 = Split(
    "gpt2",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    f" ?[^{WHITE}]++|[{WHITE}]+(?![^{WHITE}])|[{WHITE}]+",
    byte_level=True,
)
CL100K = Split(
    "cl100k",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    # punctuation takes the line ends after it, so a chunk may go on past a line end, but never one after a letter
    f"[{WHITE}]*+[^{WHITE}]++(?:(?<![A-Za-z0-9])[\\r\\n][{WHITE}]*+[^{WHITE}]*+)*+|[{WHITE}]++",
    byte_level=True,
)
_WORD_CHUNKS = f" ?[^{WHITE}]++|[{WHITE}]++"
WORDS = Split("words", r"[\p{L}\p{M}\p{N}_]+|\s+|[^\s\p{L}\p{M}\p{N}_]+", _WORD_CHUNKS)
# at most 64 characters a word and one a mark, so that no word is unknown for its length alone
WORDPIECE = Split("wordpiece", r"[\p{L}\p{M}\p{N}_]{1,64}|\s{1,64}|[^\s\p{L}\p{M}\p{N}_]", _WORD_CHUNKS)
CHARACTERS = Split("characters", r"[\s\S]", r"[\s\S]")
WHOLE = Split("whole", r"[\s\S]+", r"[\s\S]{1,65536}", byte_level=True)


def split_of(tree: object, known: Iterable[Split]) -> Split | None:
    """Which of the `known` splits `tree`, a file's pre_tokenizer, is; None if it is another."""
    wanted = _plain(tree)
    return next((split for split in known if _plain(split.to_json()) == wanted), None)


def _plain(tree: object) -> object:
    """Without trim_offsets, which moves offsets and never ids."""
    if isinstance(tree, dict):
        return {key: _plain(value) for key, value in tree.items() if key != "trim_offsets"}
    return [_plain(value) for value in tree] if isinstance(tree, list) else tree
