"""From text to ids and back: five kinds of tokenizer behind one protocol, all trained by the code in this folder."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from firsthand.errors import UserError
from firsthand.tokens import file
from firsthand.tokens.base import END_OF_TEXT, Ids, TableTokenizer, fingerprint
from firsthand.tokens.bpe import BPETokenizer
from firsthand.tokens.byte import ByteTokenizer
from firsthand.tokens.char import CharTokenizer
from firsthand.tokens.sentencepiece import SentencePieceTokenizer
from firsthand.tokens.word import WordTokenizer
from firsthand.tokens.wordpiece import WordPieceTokenizer

__all__ = [
    "END_OF_TEXT",
    "TOKENIZERS",
    "TableTokenizer",
    "Tokenizer",
    "decode_on",
    "encode_on",
    "fingerprint",
    "load",
    "of_json",
]


@runtime_checkable
class Tokenizer(Protocol):
    """What the rest of the project asks of a tokenizer; base.py says what each method does.

    `encode` never gives the id of a special token. `train` is a class method, reached through TOKENIZERS.
    """

    @property
    def vocab_size(self) -> int: ...
    @property
    def special_tokens(self) -> Mapping[str, int]: ...
    @property
    def end_of_text(self) -> int: ...
    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: Ids) -> str: ...
    def decode_bytes(self, ids: Ids) -> bytes: ...
    def extended(self, names: Iterable[str]) -> "Tokenizer": ...
    def save(self, folder: str | Path) -> None: ...
    @classmethod
    def load(cls, folder: str | Path) -> "Tokenizer": ...


TOKENIZERS: dict[str, type[TableTokenizer]] = {
    "char": CharTokenizer,
    "byte": ByteTokenizer,
    "word": WordTokenizer,
    "bpe": BPETokenizer,
    "wordpiece": WordPieceTokenizer,
}


def load(folder: str | Path) -> TableTokenizer:
    """The tokenizer in folder/tokenizer.json, whatever its kind. UserError for a kind or split that is not ours."""
    return of_json(file.read(Path(folder)))


def encode_on(tokenizer: Tokenizer, text: str) -> list[int]:
    """The ids of text that goes on behind other tokens; what only SentencePiece tells from a text of its own."""
    return (tokenizer.encode_on if isinstance(tokenizer, TableTokenizer) else tokenizer.encode)(text)


def decode_on(tokenizer: Tokenizer, ids: Ids) -> str:
    """The text of ids that stand behind others, such as one token by itself; characters cut by that become U+FFFD."""
    return tokenizer.decode_bytes(ids).decode(errors="replace")


def of_json(tree: Mapping[str, Any]) -> TableTokenizer:
    """The same from the file's tree."""
    kinds: list[type[TableTokenizer]] = [*TOKENIZERS.values(), SentencePieceTokenizer]
    for kind in kinds:
        if kind.fits(tree):
            return kind.from_json(tree)
    raise UserError(
        f"This tokenizer.json holds a {str(tree['model'].get('type'))[:40]} tokenizer that cuts text in a way not "
        f"known here, and patterns from files are never run. Known are {', '.join(TOKENIZERS)} as firsthand writes "
        f"them, byte-level BPE as GPT-2, SmolLM, Llama 3 and Qwen have it, and SentencePiece's BPE as Llama 2 does."
    )
