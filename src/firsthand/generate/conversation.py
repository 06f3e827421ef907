"""A conversation with a model: messages in, answers as they are written, and only what is new computed."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Unpack

from firsthand.errors import UserError
from firsthand.generate.decode import generate
from firsthand.generate.memory import Memory
from firsthand.generate.sampling import Sampling, check
from firsthand.generate.stream import TextStream
from firsthand.model.language_model import LanguageModel
from firsthand.tokens.chat import ChatTemplate
from firsthand.types import Message

SHARE = 4
"""At most one part in so many of the context is kept free for an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one question.

    `tokens`: drawn, without the mark that ends the answer. `finish`: "end_of_text", "stop" (a stop string), "length"
    or "interrupted". `prompt_tokens`: of the conversation, as the model was to read it; `read`: those of them that it
    had not read yet. `forgotten`: messages that had to go before this answer, the oldest. `wait`: seconds to the
    first token. `tokens_per_second`: after it; 0 where nothing came after it.
    """

    text: str
    tokens: int
    finish: str
    prompt_tokens: int
    read: int
    forgotten: int
    wait: float
    tokens_per_second: float


class Conversation:
    """`messages` are all that was said; `system()`, `ask()`, `undo()` and `reset()` change them.

    When they no longer fit into the context with room for an answer (`max_tokens`, at most a quarter of the context),
    the oldest turns after the system message are forgotten, whole turns, until the rest fills half of the context;
    `forgotten` counts the messages that the model no longer reads. Half, so that this does not happen in every turn:
    the model must then read anew. A question that does not fit even alone is refused.

    The same seed, settings and messages give the same answer. `temperature` and all else of `sampling`, and `seed`,
    may be changed between two questions. UserError for a setting out of its range.
    """

    def __init__(
        self,
        model: LanguageModel,
        template: ChatTemplate,
        max_tokens: int = 512,
        *,
        stop: Sequence[str] = (),
        seed: int = 0,
        **sampling: Unpack[Sampling],
    ) -> None:
        check(max_tokens=max_tokens, **sampling)
        self.messages: list[Message] = []
        self.forgotten = 0
        self.seed, self.sampling = seed, sampling
        self.last: Answer | None = None
        self.memory = Memory(model)
        self._model, self._template = model, template
        self._max_tokens, self._stop = max_tokens, tuple(stop)
        self._stop_ids = {*template.stop_ids, template.tokenizer.end_of_text}
        self._interrupted = False

    @property
    def context_length(self) -> int:
        return self._model.context_length

    @property
    def instruction(self) -> str | None:
        """The system message."""
        return self.messages[0].content if self._first_turn else None

    @property
    def tokens(self) -> int:
        """How many ids the conversation is, as the model reads it."""
        return len(self._encoded(self._remembered(self.forgotten), answer=False)) if self.messages else 0

    def to_json(self) -> str:
        """All messages, in one line, in the layout that fine-tuning reads."""
        said = [{"role": message.role, "content": message.content} for message in self.messages]
        return json.dumps({"messages": said}, ensure_ascii=False) + "\n"

    def system(self, text: str) -> None:
        """Say what kind of answers are wanted; takes the place of what was said before."""
        self.messages[: self._first_turn] = [Message("system", text)]

    def reset(self) -> None:
        """Forget everything but the system message."""
        del self.messages[self._first_turn :]
        self.forgotten = 0

    def undo(self) -> Message | None:
        """Take back the last question and its answer. The question, or None if there is none."""
        while len(self.messages) > self._first_turn:
            message = self.messages.pop()
            if message.role == "user":
                if self.forgotten >= len(self.messages) - self._first_turn:
                    self.forgotten = 0  # what is left may well fit again
                return message
        return None

    def interrupt(self) -> None:
        """End the answer that is being written, after the token that is being computed. What is there is kept."""
        self._interrupted = True

    def ask(self, question: str) -> Iterator[str]:
        """The answer in pieces of certain text, as they come. Afterwards `last` says what became of it.

        UserError, and nothing is said, for a question that is too long. Question and answer are among the messages
        once the answer has begun, whether it came to its end or not; a question that was interrupted before is not.
        """
        kept, ids, forgotten = self._fitted(Message("user", question))
        return self._answer(kept, ids, forgotten, question)

    def _answer(self, kept: int, ids: list[int], forgotten: int, question: str) -> Iterator[str]:
        self._interrupted = False
        room = min(self._max_tokens, self.context_length - len(ids))
        before, begun = self.memory.read, time.perf_counter()
        rows = generate(
            self._model, [ids], room, seed=self.seed, stop_ids=self._stop_ids, memory=self.memory, **self.sampling
        )
        stream, text, first, now = TextStream(self._template.tokenizer, self._stop), "", begun, begun
        try:
            for step in rows:
                now = time.perf_counter()
                first = now if first == begun else first
                assert step[0] is not None
                new = stream.push(step[0])
                if rows.finish[0] is None and (self._interrupted or stream.stopped is not None):
                    rows.stop(0)
                if rows.finish[0] is not None:
                    new += stream.finish()
                text += new
                if new:
                    yield new
        finally:
            drawn, finish = len(rows.ids[0]) - len(ids), rows.finish[0] or "interrupted"
            if finish == "stop" and stream.stopped is None:
                finish = "interrupted"
            tokens, read = drawn - (finish == "end_of_text"), self.memory.read - before
            speed = (drawn - 1) / (now - first) if now > first else 0.0
            self.last = Answer(text, tokens, finish, len(ids), read, forgotten, first - begun, speed)
            if text or finish != "interrupted":
                self.forgotten = kept
                self.messages += [Message("user", question), Message("assistant", text)]

    @property
    def _first_turn(self) -> int:
        """How many messages stand before the first turn."""
        return int(bool(self.messages) and self.messages[0].role == "system")

    def _remembered(self, forgotten: int) -> list[Message]:
        """The messages without so many of the oldest after the system message."""
        start = self._first_turn
        return self.messages[:start] + self.messages[start + forgotten :]

    def _encoded(self, messages: Sequence[Message], answer: bool = True) -> list[int]:
        return self._template.encode(messages, answer=answer).ids

    def _fitted(self, question: Message) -> tuple[int, list[int], int]:
        """How many messages are forgotten with this question, the ids to read, and how many messages went just now."""
        free = min(self._max_tokens, max(1, self.context_length // SHARE))
        most, forgotten, turns = self.context_length - free, self.forgotten, self.messages[self._first_turn :]
        ids = self._encoded([*self._remembered(forgotten), question])
        if len(ids) > most:
            begins = [number for number, message in enumerate(turns) if message.role == "user" and number > forgotten]
            for forgotten in [*begins, len(turns)]:
                ids = self._encoded([*self._remembered(forgotten), question])
                if len(ids) <= min(most, self.context_length // 2):
                    break
        if len(ids) > most:
            raise UserError(
                f"The question is too long: with the system message it makes {len(ids)} tokens, and the model reads "
                f"{self.context_length}, of which {free} are kept for its answer. Shorten it by {len(ids) - most}."
            )
        return forgotten, ids, forgotten - self.forgotten
