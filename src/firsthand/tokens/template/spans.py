"""Which part of a rendered conversation came from the template, and which from whose message.

Each content is replaced by a number of 128 random bits, new every time, so that nothing in a content can be mistaken
for what the template wrote (a fixed mark could be forged).
"""

import json
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from firsthand.errors import UserError
from firsthand.types import Message


@dataclass(frozen=True, slots=True)
class Span:
    """Some text; `message`: the index of the one that it is the content of, None for what the template wrote."""

    text: str
    message: int | None = None


def spans(render: Callable[[Sequence[Message]], str], messages: Sequence[Message]) -> list[Span]:
    """What `render` makes of `messages`, in order.

    UserError if it does more with a content than set it somewhere: trimming it is fine, and so is leaving out what was
    thought before the answer.
    """
    plain = render(messages)
    for with_empty in (True, False):  # templates may ask whether there is a content at all
        try:
            parts = _marked(render, messages, with_empty)
        except UserError:  # a mark in place of nothing was too much for it
            if not with_empty:
                raise
            continue
        found = _put_back(parts, messages, plain)
        if found is not None:
            return found
    raise UserError(
        "The chat template changes the contents of messages in a way that cannot be followed, so it could not be told "
        "what in its text is a mark and what was said. Use a template that writes contents as they are."
    )


def _marked(
    render: Callable[[Sequence[Message]], str], messages: Sequence[Message], with_empty: bool
) -> list[str | int]:
    """The rendered text, with the number of the message wherever its content stands."""
    marks = {f"N{secrets.token_hex(16)}": number for number, m in enumerate(messages) if m.content or with_empty}
    by_number = {number: mark for mark, number in marks.items()}
    marked = [replace(m, content=by_number.get(number, m.content)) for number, m in enumerate(messages)]
    rendered = render(marked)
    parts = re.split(f"({'|'.join(marks)})", rendered) if marks else [rendered]
    return [marks.get(part, part) for part in parts]


def _put_back(parts: Sequence[str | int], messages: Sequence[Message], plain: str) -> list[Span] | None:
    """`plain`, cut as `parts` say; None if it is not what they say."""
    hopeless: set[tuple[int, int]] = set()
    found: list[Span] = []
    starts = [0]
    tries = [_choices(parts, 0, messages)]
    while tries:
        if len(found) == len(parts) and starts[-1] == len(plain):
            return [span for span in found if span.text or span.message is not None]
        place = len(found)
        span = next(tries[-1], None) if (place, starts[-1]) not in hopeless else None
        if span is None:
            hopeless.add((place, starts.pop()))
            tries.pop()
            del found[-1:]
        elif plain.startswith(span.text, starts[-1]):
            found.append(span)
            starts.append(starts[-1] + len(span.text))
            tries.append(_choices(parts, place + 1, messages))
    return None


def _choices(parts: Sequence[str | int], place: int, messages: Sequence[Message]) -> Iterator[Span]:
    if place < len(parts):
        part = parts[place]
        if isinstance(part, str):
            yield Span(part)
        else:
            for text in dict.fromkeys(_shapes(messages[part].content)):
                yield Span(text, part)


def _shapes(content: str) -> Iterator[str]:
    """What templates make of a content."""
    for text in (content, content.split("</think>")[-1]):
        yield text
        for characters in (None, "\n"):
            yield from (text.strip(characters), text.lstrip(characters), text.rstrip(characters))
    yield json.dumps(content, ensure_ascii=False)[1:-1]
