"""From tokens to text, as they come: only whole characters, and nothing that may turn out to be a stop string."""

import codecs
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from firsthand.errors import UserError


@runtime_checkable
class Decoder(Protocol):
    """The half of a tokenizer that a stream needs."""

    @property
    def special_tokens(self) -> Mapping[str, int]: ...

    def decode_bytes(self, ids: list[int]) -> bytes: ...


class TextStream:
    """Takes ids one by one and gives back text that is certain: `push` each id, then `finish`.

    The parts joined are the full decoding, cut before the stop string that is completed first (of those completed
    by the same character, the first in the list); the stop string itself is not given back. Held back until it is
    decided: the bytes of an unfinished UTF-8 character (at most 3), and text that could begin a stop string (fewer
    characters than the longest one). Bytes that can never be a character become U+FFFD, as in `bytes.decode`.
    Special tokens give no text. `after` is the last id before the stream, for tokenizers that put spaces between
    tokens.
    """

    def __init__(self, tokenizer: Decoder, stop: Sequence[str] = (), after: int | None = None) -> None:
        if "" in stop:
            raise UserError("An empty stop string would stop before the first character. Leave it out.")
        self.stopped: str | None = None
        """The stop string that ended the text."""
        self._tokenizer = tokenizer
        self._special = frozenset(tokenizer.special_tokens.values())
        self._stops = tuple(stop)
        self._last = None if after in self._special else after
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def push(self, id: int) -> str:
        """The text that became certain with this id; empty after a stop."""
        if self.stopped is not None or id in self._special:
            return ""
        return self._release(self._characters.decode(self._bytes_of(id)))

    def finish(self) -> str:
        """What was held back and is now known to be plain text. The stream is empty afterwards."""
        if self.stopped is not None:
            return ""
        text = self._release(self._characters.decode(b"", final=True))
        text, self._held = text + self._held, ""
        return text

    def _bytes_of(self, id: int) -> bytes:
        # what the id adds after its predecessor: tokenizers of words put a space between the two
        before = [] if self._last is None else [self._last]
        self._last = id
        return self._tokenizer.decode_bytes([*before, id])[len(self._tokenizer.decode_bytes(before)) :]

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
