"""How a conversation becomes ids: a template says which tokens are marks, which are text, and which are learnt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from firsthand.errors import UserError
from firsthand.tokens import Tokenizer
from firsthand.types import Message

CHATML = "chatml"
"""The template of our own models, built in: <|im_start|>role, a line break, the content, <|im_end|>, a line break."""

START, END = "<|im_start|>", "<|im_end|>"


@dataclass(frozen=True, slots=True)
class Control:
    """A mark that only templates set: a special token. `learn`: the model is to write it itself (an answer's end)."""

    id: int
    learn: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """Ordinary text, encoded as one string: never a special token, whatever it spells. `learn`: an answer's words."""

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

    UserError if the tokenizer lacks the marks that the template needs.
    """

    def __init__(self, source: str, tokenizer: Tokenizer) -> None:
        self.source, self.tokenizer = source, tokenizer
        missing = [name for name in (START, END) if name not in tokenizer.special_tokens]
        if missing:
            raise UserError(f"The chat template {source!r:.40} needs the special token {missing[0]}.")

    @property
    def stop_ids(self) -> list[int]:
        """The ids that end an answer."""
        return [self.tokenizer.special_tokens[END]]

    def segments(self, messages: Sequence[Message], answer: bool = False) -> list[Segment]:
        """The conversation in order. `answer`: it ends where the assistant's next answer is to begin."""
        start, end = (self.tokenizer.special_tokens[name] for name in (START, END))
        found: list[Segment] = []
        for message in messages:
            learn = message.role == "assistant"
            found += [Control(start), Text(f"{message.role}\n"), Text(message.content, learn), Control(end, learn)]
            found.append(Text("\n"))
        return [*found, Control(start), Text("assistant\n")] if answer else found

    def encode(self, messages: Sequence[Message], answer: bool = False) -> Encoded:
        """The ids of the conversation, and which of them an assistant has to learn."""
        ids: list[int] = []
        learn: list[bool] = []
        for segment in self.segments(messages, answer):
            new = [segment.id] if isinstance(segment, Control) else self.tokenizer.encode(segment.text)
            ids += new
            learn += [segment.learn] * len(new)
        return Encoded(ids, learn)

    def to_json(self) -> dict[str, Any]:
        """What a checkpoint's config.json keeps of it."""
        return {"source": self.source}

    @staticmethod
    def of_json(tree: Mapping[str, Any], tokenizer: Tokenizer) -> "ChatTemplate":
        return ChatTemplate(tree["source"], tokenizer)
