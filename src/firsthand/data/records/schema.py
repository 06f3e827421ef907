"""What a record for tuning says: four kinds, and each as the conversation that it is for instruction tuning."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TypeAlias

from firsthand.errors import UserError
from firsthand.types import Message

Messages: TypeAlias = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages in turn; what the assistant says is learnt. A prompt and its completion are one of two messages."""

    messages: Messages

    def conversation(self) -> Messages:
        return self.messages


@dataclass(frozen=True, slots=True)
class Preference:
    """Two endings of one beginning, of which the first is preferred."""

    prompt: Messages
    chosen: Messages
    rejected: Messages

    def conversation(self) -> Messages:
        return (*self.prompt, *self.chosen)


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text and the name of its class."""

    text: str
    label: str

    def conversation(self) -> Messages:
        return Message("user", self.text), Message("assistant", self.label)


@dataclass(frozen=True, slots=True)
class Verifiable:
    """A question whose answer can be checked. `verifier`: how. `solution`: a worked way there, where there is one."""

    prompt: Messages
    answer: str
    verifier: str = "exact"
    solution: str = ""

    def conversation(self) -> Messages:
        return (*self.prompt, Message("assistant", self.solution or self.answer))


Record: TypeAlias = Conversation | Preference | Labelled | Verifiable


@dataclass(frozen=True, slots=True)
class Row:
    """A record and where it stands ("file, line 3"). `group`: records of one group fall on one side of the split."""

    record: Record
    where: str
    layout: str
    group: str = ""


def content(record: Record) -> str:
    """The record as one string, whatever layout it came in: what duplicates and the split go by."""
    return json.dumps([type(record).__name__, asdict(record)], ensure_ascii=False)


def digest(record: Record) -> bytes:
    """128 bits of hash of the content."""
    return hashlib.blake2b(content(record).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def for_tuning(messages: Sequence[Message]) -> Messages:
    """The messages up to the last answer: nothing after it is learnt. ValueError where there is no answer to learn."""
    last = max((i for i, message in enumerate(messages) if message.role == "assistant"), default=-1)
    if last < 0:
        raise UserError("the conversation has no message of the assistant, so there is nothing to learn")
    if not any(message.content.strip() for message in messages if message.role == "assistant"):
        raise UserError("the assistant's answer is empty")
    return tuple(messages[: last + 1])
