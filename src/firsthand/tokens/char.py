"""Characters: one token for each that the training text has. The simplest kind, with the longest sequences."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from firsthand.errors import DamagedError
from firsthand.tokens import file
from firsthand.tokens.base import END_OF_TEXT, TableTokenizer, check_size, special_names, with_end
from firsthand.tokens.splits import CHARACTERS

UNKNOWN = "<unk>"


class CharTokenizer(TableTokenizer):
    """`characters` in the order of their ids, then <unk> for all others, then the special tokens."""

    kind = "char"
    model = "WordLevel"
    splits = (CHARACTERS,)

    def __init__(self, characters: Sequence[str], special_tokens: Sequence[str] = (END_OF_TEXT,)) -> None:
        self.ids = {char: id for id, char in enumerate(characters)}
        self.unknown = len(characters)
        special = {name: self.unknown + 1 + i for i, name in enumerate(special_names(special_tokens, CHARACTERS))}
        super().__init__([text.encode() for text in (*characters, UNKNOWN, *special)], special, CHARACTERS)

    @classmethod
    def train(
        cls, texts: Iterable[str], vocab_size: int | None = None, special_tokens: Sequence[str] = (END_OF_TEXT,)
    ) -> "CharTokenizer":
        """All characters by code point; with `vocab_size`, only the most frequent ones."""
        names = with_end(special_tokens)
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(text)
        kept = sorted((char for char in counts if file.storable(char)), key=lambda char: (-counts[char], char))
        extra = len(names) + 1
        if vocab_size is not None:
            kept = kept[: check_size(vocab_size, extra, len(kept) + extra, "a character tokenizer") - extra]
        return cls(sorted(kept), names)

    def encode_piece(self, piece: str) -> list[int]:
        return [self.ids.get(piece, self.unknown)]

    def to_json(self) -> dict[str, Any]:
        model = {"type": "WordLevel", "vocab": {**self.ids, UNKNOWN: self.unknown}, "unk_token": UNKNOWN}
        return file.tree(model, self.split.to_json(), {"type": "Fuse"}, self.special_tokens)

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> "CharTokenizer":
        tokens, special = file.vocabulary(tree)
        size = len(tokens) - len(special) - 1
        if tokens[size : size + 1] != [UNKNOWN] or any(len(char) != 1 for char in tokens[:size]):
            raise DamagedError("This character tokenizer is damaged: it must hold single characters, then <unk>.")
        return cls(tokens[:size], sorted(special, key=special.__getitem__))
