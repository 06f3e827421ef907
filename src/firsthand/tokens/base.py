"""What the five kinds share: a table of tokens by id, and the file."""

import hashlib
import json
import re
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

import numpy as np

from firsthand.errors import UserError
from firsthand.tokens import file
from firsthand.tokens.additions import ENDS
from firsthand.tokens.split import Split
from firsthand.tokens.splits import split_of

END_OF_TEXT = "<|endoftext|>"
DEFAULT_SIZE = 8192
Ids: TypeAlias = Iterable[int] | np.ndarray
_NO_BYTES = re.compile("[\ud800-\udc7f\udd00-\udfff]")


def to_bytes(text: str) -> bytes:
    """UTF-8; the surrogates U+DC80 to U+DCFF give back the raw bytes that errors="surrogateescape" made them from.

    Other lone surrogates stand for no byte and become U+FFFD.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _NO_BYTES.sub("\ufffd", text).encode(errors="surrogateescape")


def with_end(names: Sequence[str]) -> list[str]:
    """The special tokens to train with: <|endoftext|> comes first where it was left out."""
    return list(names) if END_OF_TEXT in names else [END_OF_TEXT, *names]


def special_names(names: Iterable[str], split: Split) -> list[str]:
    """`names` once each. UserError if ordinary text could produce one.

    A name that the split would keep whole could be learnt as an ordinary token; one that it cuts never can.
    """
    names = list(names)
    for name in names:
        if len(split.pieces(name)) < 2 or not file.storable(name):
            raise UserError(
                f"{name!r} cannot be a special token, because ordinary text could produce it. "
                f"Give it a name with brackets, such as <|name|>."
            )
    return list(dict.fromkeys(names))


class TableTokenizer(ABC):
    """Tokens are bytes, `tokens[id]`; `special_tokens` are those that `encode` never gives.

    What only tokenizers from elsewhere have: `added_tokens`, which `encode` never gives either, but which are no marks
    to be hidden; `begin`, the token that each text began with in training; `end`, that which ended it, where no name
    says so.
    """

    kind: ClassVar[str]
    model: ClassVar[str]
    """The type of the model in tokenizer.json."""
    splits: ClassVar[tuple[Split, ...]]
    """The ways to cut that this kind knows."""
    unknown: int = -1
    """The id that stands for what this kind cannot encode; -1 where there is none, because all can be."""

    def __init__(
        self,
        tokens: Sequence[bytes],
        special_tokens: Mapping[str, int],
        split: Split,
        added_tokens: Mapping[str, int] = MappingProxyType({}),
        begin: int | None = None,
        end: int | None = None,
    ) -> None:
        self.split = split
        self.tokens = list(tokens)
        self.special_tokens, self.added_tokens = dict(special_tokens), dict(added_tokens)
        for name, id in [*self.special_tokens.items(), *self.added_tokens.items()]:
            self.tokens[id] = name.encode()
        self.vocab_size = len(self.tokens)
        self.begin = begin
        self._end = None if any(name in self.special_tokens for name in ENDS) else end

    @abstractmethod
    def encode_piece(self, piece: str) -> list[int]:
        """The ids of one piece of the split."""

    def encode_pieces(self, pieces: Sequence[str], dtype: np.dtype[Any]) -> list[bytes]:
        """The ids of each of many pieces, as the bytes of an array of `dtype`."""
        return [array(dtype.char, self.encode_piece(piece)).tobytes() for piece in pieces]

    def extended(self, names: Iterable[str]) -> "TableTokenizer":
        """The same tokenizer with further special tokens, of the next ids; those it has already stay as they are.

        UserError if ordinary text could produce one.
        """
        new = [name for name in dict.fromkeys(names) if name not in self.special_tokens]
        for name in new:  # no token is learnt any more, so a name that is none now can never be ordinary text
            if len(name) < 2 or not file.storable(name) or name.encode() in self.tokens:
                raise UserError(f"{name!r} cannot be a special token, because ordinary text could produce it.")
        made = copy(self)
        made.special_tokens = self.special_tokens | {name: self.vocab_size + i for i, name in enumerate(new)}
        made.tokens = [*self.tokens, *(name.encode() for name in new)]
        made.vocab_size = len(made.tokens)
        return made

    def prepare(self, text: str) -> str:
        """`text` as it is before it is cut: the same, except for tokenizers that compose characters first."""
        return text

    def encode(self, text: str) -> list[int]:
        """The ids of `text`: never a special one, even where the text spells its name."""
        return self.encode_on(self.before(text) + text)

    def before(self, text: str) -> str:
        """What is put before `text` where it begins: nothing, but for SentencePiece's space."""
        return ""

    @property
    def fresh_after_marks(self) -> bool:
        """Whether text behind a special token is encoded like a text of its own."""
        return True

    def encode_on(self, text: str) -> list[int]:
        """The ids of text that goes on behind other tokens: nothing is put before it."""
        return [id for piece in self.split.pieces(self.prepare(text)) for id in self.encode_piece(piece)]

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """The tree of tokenizer.json."""

    @classmethod
    def fits(cls, tree: Mapping[str, Any]) -> bool:
        """Whether the file's `tree` is of this kind."""
        return tree["model"].get("type") == cls.model and split_of(tree.get("pre_tokenizer"), cls.splits) is not None

    @classmethod
    @abstractmethod
    def from_json(cls, tree: Mapping[str, Any]) -> "TableTokenizer":
        """The tokenizer that `to_json` described."""

    @classmethod
    @abstractmethod
    def train(
        cls, texts: Iterable[str], vocab_size: int | None = None, special_tokens: Sequence[str] = (END_OF_TEXT,)
    ) -> "TableTokenizer":
        """Learn the tokens of `texts`. `vocab_size` counts all of them, special ones too.

        UserError if the texts cannot give so many, with the largest number that they can.
        """

    @property
    def end_of_text(self) -> int:
        """The id that parts documents."""
        found = [self.special_tokens[name] for name in ENDS if name in self.special_tokens]
        if not found and self._end is None:
            raise UserError(f"This tokenizer has no {END_OF_TEXT} token; train it with that among its special_tokens.")
        return found[0] if found or self._end is None else self._end

    def decode_bytes(self, ids: Ids) -> bytes:
        """The bytes of `ids`, special tokens by name. UserError on an id out of range."""
        ids = list(ids)
        tokens = self.tokens
        if ids and not 0 <= min(ids) <= max(ids) < len(tokens):
            wrong = next(id for id in ids if not 0 <= id < len(tokens))
            raise UserError(
                f"The token id {wrong} is out of range: this tokenizer has the ids 0 to {len(tokens) - 1}. "
                f"Probably these ids were made by another tokenizer."
            )
        return b"".join([tokens[id] for id in ids])

    def decode(self, ids: Ids) -> str:
        """The text of `ids`; bytes that are no UTF-8 become U+FFFD. UserError on an id out of range."""
        return self.decode_bytes(ids).decode(errors="replace")

    def save(self, folder: str | Path) -> None:
        """Write folder/tokenizer.json, which Hugging Face's `tokenizers` loads too."""
        file.write(self.to_json(), Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> "TableTokenizer":
        """Read what `save` wrote. DamagedError or UserError for any other file."""
        tree = file.read(Path(folder))
        if not cls.fits(tree):
            raise UserError(f"{folder} holds no {cls.kind} tokenizer. Use firsthand.tokens.load, which finds the kind.")
        return cls.from_json(tree)


def fingerprint(tokenizer: Any) -> str:
    """SHA-256 of the tokenizer's content (its `to_json()`), however its file is spaced or ordered."""
    content = json.dumps(tokenizer.to_json(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()


def check_size(vocab_size: int | None, least: int, most: int, what: str) -> int:
    """`vocab_size` if the data allow it, else UserError. None: as many as they allow, at most DEFAULT_SIZE."""
    if vocab_size is None:
        return max(least, min(most, DEFAULT_SIZE))
    if vocab_size < least:
        raise UserError(f"vocab_size={vocab_size} is too small: {what} needs at least {least} tokens. Set it higher.")
    if vocab_size > most:
        raise UserError(
            f"vocab_size={vocab_size} is more than this text supports: {what} can make at most {most} tokens of it. "
            f"Set vocab_size={most} or lower, or train on more text."
        )
    return vocab_size
