"""Text between two marks as one string, as tokenizers that merge across borders want it; marks told from the ids."""

from firsthand.tokens.chat import Encoded
from firsthand.types import Message


class ChatTemplate:
    def __init__(self, source, tokenizer) -> None:
        self.tokenizer = tokenizer

    def encode(self, messages, answer=False) -> Encoded:
        special = self.tokenizer.special_tokens
        found = Encoded([], [])
        between = ""
        for message in [*messages, *([Message("assistant", "")] if answer else [])]:
            found.ids.extend([*self.tokenizer.encode(between), special["<|im_start|>"]])
            found.learn.extend([False] * (len(found.ids) - len(found.learn)))
            head = self.tokenizer.encode(f"{message.role}\n")
            whole = self.tokenizer.encode(f"{message.role}\n{message.content}")
            found.ids.extend([*whole, special["<|im_end|>"]])
            mine = message.role == "assistant"
            found.learn.extend([mine and place >= len(head) for place in range(len(whole) + 1)])
            between = "\n"
        if answer:
            found.ids.pop()
            found.learn.pop()
        elif messages:
            found.ids.extend(self.tokenizer.encode(between))
            found.learn.extend([False] * (len(found.ids) - len(found.learn)))
        return found
