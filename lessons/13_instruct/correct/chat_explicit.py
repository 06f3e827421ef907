"""Piece by piece. The slips of `chat_format` are edits of this file."""

from collections.abc import Sequence

from firsthand.tokens import Tokenizer
from firsthand.tokens.chat import END, START, Encoded
from firsthand.types import Message


class ChatTemplate:
    def __init__(self, source: str, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.start, self.end = tokenizer.special_tokens[START], tokenizer.special_tokens[END]

    def encode(self, messages: Sequence[Message], answer: bool = False) -> Encoded:
        ids: list[int] = []
        learn: list[bool] = []

        def add(new: list[int], learnt: bool) -> None:
            ids.extend(new)
            learn.extend([learnt] * len(new))

        for message in messages:
            spoken = message.role == "assistant"
            add([self.start], False)
            add(self.tokenizer.encode(f"{message.role}\n"), False)
            content = self.tokenizer.encode(message.content)
            add(content, spoken)
            add([self.end], spoken)
            add(self.tokenizer.encode("\n"), False)
        if answer:
            add([self.start], False)
            add(self.tokenizer.encode("assistant\n"), False)
        return Encoded(ids, learn)
