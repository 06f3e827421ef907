"""As a list of pairs, unzipped at the end."""

from itertools import chain

from firsthand.tokens.chat import Encoded


class ChatTemplate:
    def __init__(self, source, tokenizer) -> None:
        self.t = tokenizer

    def encode(self, messages, answer=False) -> Encoded:
        pairs = list(chain.from_iterable(map(self.one, messages)))
        if answer:
            pairs += self.head("assistant")
        return Encoded([id for id, _ in pairs], [mark for _, mark in pairs])

    def head(self, role):
        return [(self.t.special_tokens["<|im_start|>"], False), *((id, False) for id in self.t.encode(role + "\n"))]

    def one(self, message):
        mine = message.role == "assistant"
        words = [*self.t.encode(message.content), self.t.special_tokens["<|im_end|>"]]
        return [*self.head(message.role), *((id, mine) for id in words), *((id, False) for id in self.t.encode("\n"))]
