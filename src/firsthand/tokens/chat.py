"""How a conversation becomes ids: a template says which tokens are marks, which are text, and which are learnt.

Role marks and other control tokens come from the template alone. What a message says is text, whatever it spells.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from firsthand.errors import UserError
from firsthand.tokens import Tokenizer, encode_on
from firsthand.types import Message

if TYPE_CHECKING:
    from firsthand.tokens.template.spans import Span

CHATML = "chatml"
"""The template of our own models, built in: <|im_start|>role, a line break, the content, <|im_end|>, a line break."""

START, END = "<|im_start|>", "<|im_end|>"
CHATML_JINJA = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""The same as others write it."""
ROLES = ("system", "user", "assistant", "tool", "developer", "function", "ipython")
_ROLE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Control:
    """A mark that only templates set: a special token. `learn`: the model is to write it itself (an answer's end)."""

    id: int
    learn: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """Ordinary text: never a special token, whatever it spells. Texts between two controls are encoded as one string.

    `learn`: an answer's words.
    """

    text: str
    learn: bool = False


Segment = Control | Text


@dataclass(frozen=True)
class Encoded:
    """The ids of a conversation; `learn[i]`: the i-th of them is a target of instruction tuning."""

    ids: list[int]
    learn: list[bool]


class ChatTemplate:
    """A tokenizer's way to write conversations. `source`: CHATML, or a Jinja template as Hugging Face's files hold it.

    `names`: what such a template may call by name, {"bos_token": "<s>", ...}; where it does not say, bos_token is what
    the tokenizer begins texts with, and eos_token what ends them. UserError if the tokenizer lacks the marks that the
    template needs, or if the template cannot be used safely (see `segments`).
    """

    def __init__(self, source: str, tokenizer: Tokenizer, names: Mapping[str, str] = MappingProxyType({})) -> None:
        self.source, self.tokenizer, self.names = source, tokenizer, dict(names)
        self._marks = {**getattr(tokenizer, "added_tokens", {}), **tokenizer.special_tokens}
        missing = [name for name in (START, END) if source == CHATML and name not in tokenizer.special_tokens]
        if missing:
            raise UserError(f"The chat template {source!r:.40} needs the special token {missing[0]}.")
        if source != CHATML:
            from firsthand.tokens.template.sandbox import Jinja

            self._jinja = Jinja(source)
        _ = self.stop_ids  # a template that cannot write the simplest conversation is refused here

    @property
    def jinja(self) -> str:
        """The template as a Jinja source, for files that leave."""
        return CHATML_JINJA if self.source == CHATML else self.source

    @cached_property
    def stop_ids(self) -> list[int]:
        """The ids that end an answer: the marks after it, and what ends a text."""
        spoken = [Message("user", "u"), Message("assistant", "a")]
        found = {segment.id for segment in self.segments(spoken) if isinstance(segment, Control) and segment.learn}
        for name in (self._name("eos_token"), self.names.get("eot_token", "")):
            found |= {self._marks[name]} if name in self._marks else set()
        return sorted(found | set(_end(self.tokenizer)))

    def segments(self, messages: Sequence[Message], answer: bool = False) -> list[Segment]:
        """The conversation in order. `answer`: it ends where the assistant's next answer is to begin.

        To be learnt are the assistant's words and the mark that ends them, of every answer. UserError if a role is no
        plain word, or if the template refuses the conversation, changes contents, or parts an answer from other
        messages by ordinary text alone, which anybody could write.
        """
        for message in messages:
            self._check_role(message.role)
        found: list[Segment] = []
        owner: int | None = None  # whose content stands between the last control and here
        for span in self._spans(messages, answer):
            if span.message is None:
                for part in self._split(span.text):
                    learn = owner is not None and messages[owner].role == "assistant"
                    if isinstance(part, int):
                        found.append(Control(part, learn))
                        owner = None
                    else:
                        found.append(Text(part, learn))
                continue
            speakers = {messages[number].role for number in (owner, span.message) if number is not None}
            if owner not in (None, span.message) and "assistant" in speakers:
                raise UserError(
                    "The chat template parts an answer from another message by ordinary text, which anybody could "
                    "write into a message. Use a template that parts them by special tokens."
                )
            owner = span.message
            found.append(Text(span.text, messages[owner].role == "assistant"))
        return found

    def _check_role(self, role: str) -> None:
        """UserError if a role could make a mark together with what a template writes around it, such as <|end|>."""
        forged = role not in ROLES and any(role in mark or mark in role for mark in self._marks)
        if forged or not _ROLE.fullmatch(role):
            raise UserError(f"{role[:40]!r} is no role here. A role is a word such as {', '.join(ROLES[:3])}.")

    def encode(self, messages: Sequence[Message], answer: bool = False) -> Encoded:
        """The ids of the conversation, and which of them an assistant has to learn."""
        ids: list[int] = []
        learn: list[bool] = []
        for kind, run in groupby(self.segments(messages, answer), type):
            some = list(run)
            new, learnt = _controls(some) if kind is Control else self._encode_text(some, fresh=not ids)
            ids += new
            learn += learnt
        return Encoded(ids, learn)

    def _encode_text(self, texts: Sequence[Any], fresh: bool) -> tuple[list[int], list[bool]]:
        """The ids of texts as one string. What is learnt stands at its end; a token on the border is learnt too.

        `fresh`: the conversation begins here, and not behind a mark.
        """
        fresh = fresh or getattr(self.tokenizer, "fresh_after_marks", True)
        encode = self.tokenizer.encode if fresh else partial(encode_on, self.tokenizer)
        before = "".join(text.text for text in texts if not text.learn)
        whole = "".join(text.text for text in texts)
        ids = encode(whole)
        if before == whole:
            return ids, [False] * len(ids)
        same = 0
        for one, other in zip(ids, encode(before), strict=False):
            if one != other:
                break
            same += 1
        return ids, [place >= same for place in range(len(ids))]

    def _spans(self, messages: Sequence[Message], answer: bool) -> list["Span"]:
        from firsthand.tokens.template.spans import Span, spans

        if self.source == CHATML:
            found: list[Span] = []
            for number, message in enumerate(messages):
                found += [Span(f"{START}{message.role}\n"), Span(message.content, number), Span(f"{END}\n")]
            return [*found, Span(f"{START}assistant\n")] if answer else found
        now = time.localtime()
        names = {name: self._name(name) for name in {"bos_token", "eos_token", *self.names}}

        def render(some: Sequence[Message]) -> str:
            data = [{"role": message.role, "content": message.content} for message in some]
            return self._jinja.render(
                now, **names, messages=data, tools=None, documents=None, add_generation_prompt=answer
            )

        return spans(render, messages)

    def _name(self, name: str) -> str:
        """What a template's bos_token and so on stand for."""
        if name in self.names:
            return self.names[name]
        begin = getattr(self.tokenizer, "begin", None)
        ids = {"bos_token": [] if begin is None else [begin], "eos_token": _end(self.tokenizer)}.get(name, [])
        return self.tokenizer.decode(ids)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        """Finds the marks, of those that begin alike the longest, as `tokenizers` does."""
        return re.compile("|".join(map(re.escape, sorted(self._marks, key=len, reverse=True))) or "(?!)")

    def _split(self, text: str) -> Iterator[int | str]:
        """The marks and the text between them in what a template wrote."""
        start = 0
        for mark in self._pattern.finditer(text):
            if mark.start() > start:
                yield text[start : mark.start()]
            yield self._marks[mark[0]]
            start = mark.end()
        if start < len(text):
            yield text[start:]

    def to_json(self) -> dict[str, Any]:
        """What a checkpoint's config.json keeps of it."""
        return {"source": self.source} | ({"names": self.names} if self.names else {})

    @staticmethod
    def of_json(tree: Mapping[str, Any], tokenizer: Tokenizer) -> "ChatTemplate":
        return ChatTemplate(tree["source"], tokenizer, tree.get("names", {}))


def _controls(controls: Sequence[Any]) -> tuple[list[int], list[bool]]:
    return [control.id for control in controls], [control.learn for control in controls]


def _end(tokenizer: Tokenizer) -> list[int]:
    """The id that ends a text, if there is one."""
    try:
        return [tokenizer.end_of_text]
    except UserError:
        return []
