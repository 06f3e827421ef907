"""The ids first, and the spans that are learnt as places in them."""

from firsthand.tokens.chat import END, START, Encoded


class ChatTemplate:
    def __init__(self, source, tokenizer) -> None:
        self.encode_text = tokenizer.encode
        self.marks = tokenizer.special_tokens

    def encode(self, messages, answer=False) -> Encoded:
        ids, spans = [], []
        for message in messages:
            ids += [self.marks[START], *self.encode_text(message.role + "\n")]
            first = len(ids)
            ids += [*self.encode_text(message.content), self.marks[END]]
            if message.role == "assistant":
                spans.append(range(first, len(ids)))
            ids += self.encode_text("\n")
        if answer:
            ids += [self.marks[START], *self.encode_text("assistant\n")]
        learnt = set().union(*spans)
        return Encoded(ids, [place in learnt for place in range(len(ids))])
