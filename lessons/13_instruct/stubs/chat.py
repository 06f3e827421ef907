"""How a conversation becomes ids, and which of them the model has to learn."""

from collections.abc import Sequence

from firsthand.tokens import Tokenizer
from firsthand.tokens.chat import END, START, Encoded
from firsthand.types import Message


class ChatTemplate:
    """The format ChatML. A message is <|im_start|>, its role, a line break, its content, <|im_end|>, a line break."""

    def __init__(self, source: str, tokenizer: Tokenizer) -> None:
        """Given. `source` names the format, and is "chatml" here."""
        self.tokenizer = tokenizer
        self.start, self.end = tokenizer.special_tokens[START], tokenizer.special_tokens[END]

    def encode(self, messages: Sequence[Message], answer: bool = False) -> Encoded:
        """Encoded(ids, learn): the ids of the conversation, and for each of them whether the assistant has to learn it.

        The two marks are the ids self.start and self.end. All else is text, which tokenizer.encode makes ids of: a
        content that spells a mark is text too. Learnt are the contents of the assistant's messages and the marks that
        end them, and nothing else. `answer`: at the end stands the beginning of the assistant's next message, up to the
        line break after its role.
        """
        raise NotImplementedError
