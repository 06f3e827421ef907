"""Bytes: the 256 values of UTF-8 text are the ids. Nothing to learn, nothing unknown, four tokens to an emoji."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from firsthand.errors import DamagedError
from firsthand.tokens import file
from firsthand.tokens.base import END_OF_TEXT, TableTokenizer, check_size, special_names, to_bytes, with_end
from firsthand.tokens.split import byte_level
from firsthand.tokens.splits import CHARACTERS, WHOLE


class ByteTokenizer(TableTokenizer):
    """Byte b has id b; the special tokens follow from 256 on."""

    kind = "byte"
    model = "BPE"
    splits = (WHOLE,)

    def __init__(self, special_tokens: Sequence[str] = (END_OF_TEXT,)) -> None:
        special = {name: 256 + i for i, name in enumerate(special_names(special_tokens, CHARACTERS))}
        super().__init__([bytes([b]) for b in range(256)] + [b""] * len(special), special, WHOLE)

    @classmethod
    def train(
        cls, texts: Iterable[str], vocab_size: int | None = None, special_tokens: Sequence[str] = (END_OF_TEXT,)
    ) -> "ByteTokenizer":
        """The same for any text: 256 tokens and the special ones."""
        made = cls(with_end(special_tokens))
        check_size(vocab_size, made.vocab_size, made.vocab_size, "a byte tokenizer")
        return made

    def encode_piece(self, piece: str) -> list[int]:
        return list(to_bytes(piece))

    def to_json(self) -> dict[str, Any]:
        vocab = {file.show(bytes([b])): b for b in range(256)}
        return file.tree(file.bpe_model(vocab), self.split.to_json(), byte_level(use_regex=True), self.special_tokens)

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> "ByteTokenizer":
        tokens, special = file.vocabulary(tree)
        if tokens[:256] != [file.show(bytes([b])) for b in range(256)] or len(tokens) != 256 + len(special):
            raise DamagedError("This byte tokenizer is damaged: its ids 0 to 255 must be the bytes 0 to 255.")
        return cls(sorted(special, key=special.__getitem__))
