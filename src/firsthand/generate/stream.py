"""From tokens to text, as they come: only whole characters, and nothing that may turn out to be a stop string."""

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from firsthand.errors import UserError


@runtime_checkable
class Decoder(Protocol):
    """The half of a tokenizer that a stream needs. The bytes of a list of ids are those of its ids, joined."""

    @property
    def special_tokens(self) -> Mapping[str, int]: ...

    def decode_bytes(self, ids: list[int]) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Completion:
    """What became of one prompt.

    `text`: the continuation. `tokens`: how many were drawn for it. `finish`: "length", "stop" or "end_of_text".
    `slid`: it outgrew the context, so the beginning was forgotten. `dropped`: so many tokens from the prompt's
    beginning did not fit into the context. `unknown`: so many of the prompt's tokens were read as <unk>.
    """

    prompt: str
    text: str
    tokens: int
    finish: str
    slid: bool
    dropped: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Piece:
    """More text of row `row`; the row's last piece brings its completion."""

    row: int
    text: str
    completion: Completion | None = None


class TextStream:
    """Takes ids one by one and gives back text that is certain: `push` each id, then `finish`.

    The parts joined are the full decoding, cut before the stop string that is completed first (of those completed
    by the same character, the first in the list); the stop string itself is not given back. Held back until it is
    decided: the bytes of an unfinished UTF-8 character (at most 3), and text that could begin a stop string (fewer
    characters than the longest one). Bytes that can never be a character become U+FFFD, as in `bytes.decode`.
    Special tokens give no text.
    """

    def __init__(self, tokenizer: Decoder, stop: Sequence[str] = ()) -> None:
        if "" in stop:
            raise UserError("An empty stop string would stop before the first character. Leave it out.")
        self.stopped: str | None = None
        """The stop string that ended the text."""
        self._tokenizer = tokenizer
        self._special = frozenset(tokenizer.special_tokens.values())
        self._stops = tuple(stop)
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def push(self, id: int) -> str:
        """The text that became certain with this id; empty after a stop."""
        if self.stopped is not None or id in self._special:
            return ""
        return self._release(self._characters.decode(self._tokenizer.decode_bytes([id])))

    def finish(self) -> str:
        """What was held back and is now known to be plain text. The stream is empty afterwards."""
        if self.stopped is not None:
            return ""
        text = self._release(self._characters.decode(b"", final=True))
        text, self._held = text + self._held, ""
        return text

    def _release(self, text: str) -> str:
        if not self._stops:
            return text
        text = self._held + text
        found = [(text.find(stop) + len(stop), stop) for stop in self._stops if stop in text]
        if found:
            end, self.stopped = min(found, key=lambda pair: pair[0])  # of equals the first: the list's order
            self._held = ""
            return text[: end - len(self.stopped)]
        certain = min(_possible_start(text, stop) for stop in self._stops)
        self._held = text[certain:]
        return text[:certain]


def _possible_start(text: str, stop: str) -> int:
    """Where `text` may be in the middle of `stop`: the first index from which all the rest is a beginning of it."""
    start = text.find(stop[0], max(0, len(text) - len(stop) + 1))
    while start >= 0 and not stop.startswith(text[start:]):
        start = text.find(stop[0], start + 1)
    return len(text) if start < 0 else start


_UNPRINTABLE = {
    code: None
    for code in [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
    if chr(code) not in "\n\t"
}


def printable(text: str) -> str:
    """Text that cannot command a terminal: without control characters (other than line feed and tab) and without the
    characters that reorder or break lines invisibly."""
    return text.translate(_UNPRINTABLE)
