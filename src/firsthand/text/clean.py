"""Cleaning: small pure functions from text to text, named in CLEANERS.

STANDARD is what every source gets unless the recipe says otherwise; ordinary tidy prose comes through it byte for
byte. That is why it leaves blanks at the ends of lines alone: `trailing` removes those, when asked.
"""

import re
import unicodedata
from collections.abc import Callable

from firsthand.text.plays import printed_play

_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
# C0 and C1 controls, the byte order mark and other non-characters, soft hyphens, direction marks, lone surrogates.
# The joiners U+200C and U+200D stay: Persian, Hindi and emoji are spelled with them.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\ud800-\udfff\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff]"
)
_BLANKS = re.compile("[\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_GUTENBERG_START = re.compile(
    r"^\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG[^*]*\*\*\*", re.MULTILINE | re.IGNORECASE
)
_GUTENBERG_END = re.compile(
    r"^(?:End of (?:the |this )?Project Gutenberg|\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG).*",
    re.MULTILINE | re.IGNORECASE,
)


def unicode(text: str) -> str:
    """Unicode normal form C: a letter and its accent are one character wherever Unicode has that character."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def lines(text: str) -> str:
    r"""Every kind of line end (Windows, old Macintosh, form feed, Unicode's separators) is \n."""
    return _LINE_ENDS.sub("\n", text)


def control(text: str) -> str:
    """Without characters that have no place in text: controls, byte order marks, direction marks, half surrogates."""
    return _CONTROLS.sub("", text)


def normalize(text: str) -> str:
    """One spelling for one text: `lines`, `control`, and `unicode` last, for a letter and its accent may have had
    an invisible character between them."""
    return unicode(control(lines(text)))


def spaces(text: str) -> str:
    """Blanks of all widths are the space; lines of blanks are empty; at most two empty lines stand together."""
    if not text.isascii():
        text = _BLANKS.sub(" ", text)
    text = re.sub(r"^[ \t]+$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\n{4,}", "\n\n\n", text)
    return text.lstrip("\n")


def boilerplate(text: str) -> str:
    """Without the licence that Project Gutenberg puts before and after a book."""
    if "Gutenberg" not in text and "GUTENBERG" not in text:
        return text
    if start := _GUTENBERG_START.search(text):
        text = text[start.end() :].lstrip()
    if end := _GUTENBERG_END.search(text):
        text = text[: end.start()].rstrip() + "\n"
    return text


def trailing(text: str) -> str:
    """Without blanks at the ends of lines."""
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)


CLEANERS: dict[str, Callable[[str], str]] = {
    "normalize": normalize,
    "unicode": unicode,
    "lines": lines,
    "control": control,
    "spaces": spaces,
    "boilerplate": boilerplate,
    "trailing": trailing,
    "plays": printed_play,
}

STANDARD: list[str] = ["normalize", "spaces", "boilerplate"]
