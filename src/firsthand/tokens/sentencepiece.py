"""SentencePiece's BPE, as Llama 2, Mistral 7B, Mixtral and TinyLlama have it: read here, never trained.

Kudo and Richardson 2018 (arXiv:1808.06226). A text's spaces become ▁, and it begins with one. Pairs of characters are
merged, not of bytes; a character that no token has is written as the tokens of its bytes, <0xE4> and so on.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from firsthand.errors import DamagedError, UserError
from firsthand.tokens import file
from firsthand.tokens.additions import begin_field, read_begin
from firsthand.tokens.base import END_OF_TEXT, TableTokenizer, to_bytes
from firsthand.tokens.bpe import LONG, apply_merges_short
from firsthand.tokens.chain import Pair
from firsthand.tokens.lead import SPACE, Lead, read_lead
from firsthand.tokens.ranks import apply_ranked, ranked, read_merges
from firsthand.tokens.splits import SENTENCES, SPACES

BYTE = re.compile("<0x([0-9A-F]{2})>")
"""The token of a byte."""
LONGEST = 128
"""Characters of a token that comes without merges; SentencePiece makes at most 16 unless told otherwise."""


class SentencePieceTokenizer(TableTokenizer):
    """`names`: the tokens by id as files write them, "" where an id stands for nothing; `merges` in the order they
    were learnt. `lead` says what a text begins with. Texts are cut at spaces and line ends, if no token crosses those.
    """

    kind = "sentencepiece"
    model = "BPE"
    splits = (SPACES, SENTENCES)

    def __init__(
        self,
        names: Sequence[str],
        merges: Mapping[Pair, int],
        special_tokens: Mapping[str, int],
        lead: Lead = Lead.EACH,
        *,
        added_tokens: Mapping[str, int] = MappingProxyType({}),
        unknown: int = -1,
        begin: int | None = None,
        end: int | None = None,
    ) -> None:
        crossed = any(len(SPACES.pieces(names[id])) > 1 for id in merges.values())
        tokens = [_bytes_of(name) for name in names]
        super().__init__(tokens, special_tokens, SENTENCES if crossed else SPACES, added_tokens, begin, end)
        self.names, self.merges, self.lead, self.unknown = list(names), dict(merges), lead, unknown
        marks = {*self.special_tokens.values(), *self.added_tokens.values()}
        ordinary = [(name, id) for id, name in enumerate(names) if name and id not in marks]
        self._characters = {name: id for name, id in ordinary if len(name) == 1}
        bytes_ = {tokens[id]: id for name, id in ordinary if BYTE.fullmatch(name)}
        self._byte_ids = [bytes_.get(bytes([byte]), -1) for byte in range(256)]
        self._ranked = ranked(self.merges)

    def before(self, text: str) -> str:
        return self.lead.before(text)

    @property
    def fresh_after_marks(self) -> bool:
        return self.lead in (Lead.EACH, Lead.MISSING)

    def encode_piece(self, piece: str) -> list[int]:
        ids: list[int] = []
        for char in piece.replace(" ", SPACE):
            known = self._characters.get(char)
            ids += self._spelt(char, ids[-1:]) if known is None else [known]
        return (apply_merges_short if len(ids) <= LONG else apply_ranked)(ids, self._ranked)

    def _spelt(self, char: str, last: list[int]) -> list[int]:
        """A character that is no token: its bytes; where one of them is none either, unknown, once for neighbours."""
        ids = [self._byte_ids[byte] for byte in to_bytes(char)]
        if min(ids) >= 0:
            return ids
        return [] if self.unknown in (-1, *last) else [self.unknown]

    def decode(self, ids: Any) -> str:
        """The text of `ids` without the space that `encode` put before it."""
        text = super().decode(ids)
        return text if self.lead is Lead.NEVER else text.removeprefix(" ")

    def scores(self) -> list[float]:
        """A score for each of `names`, from which `scored` makes the same merges: minus the rank of its first one."""
        ranks: dict[int, float] = {}
        for rank, id in enumerate(self.merges.values(), start=1):
            ranks.setdefault(id, -float(rank))
        return [ranks.get(id, 0.0) for id in range(len(self.names))]

    def to_json(self) -> dict[str, Any]:
        marks = {**self.special_tokens, **self.added_tokens}
        ordinary = set(range(len(self.names))) - set(marks.values())
        vocab = {self.names[id]: id for id in sorted(ordinary) if self.names[id]} | marks
        merges = [f"{self.names[first]} {self.names[second]}" for first, second in self.merges]
        model = file.bpe_model(vocab, merges) | {
            "unk_token": None if self.unknown < 0 else self.tokens[self.unknown].decode(),
            "fuse_unk": True,
            "byte_fallback": True,
        }
        made = file.tree(model, {}, self.lead.decoder(), self.special_tokens, self.added_tokens, self._end)
        begin = None if self.begin is None else (self.tokens[self.begin].decode(), self.begin)
        return made | self.lead.to_json() | begin_field(begin)

    @classmethod
    def fits(cls, tree: Mapping[str, Any]) -> bool:
        return tree["model"].get("type") == cls.model and tree["model"].get("byte_fallback") is True

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> "SentencePieceTokenizer":
        if tree["model"].get("ignore_merges") is True or tree["model"].get("fuse_unk") is not True:
            raise UserError(
                "This tokenizer of SentencePiece ignores merges, or does not fuse what is unknown, which is not "
                "supported here."
            )
        vocabulary = file.loose_vocabulary(tree)
        ids = {name: id for id, name in enumerate(vocabulary.tokens) if name}
        model = {**tree["model"], "byte_fallback": False, "fuse_unk": False, "unk_token": None}
        merges = read_merges(file.bpe_merges({"model": model}), ids)
        unknown, begin = tree["model"].get("unk_token"), read_begin(tree)
        known = {**ids, **vocabulary.special}
        for name in (unknown, begin):
            if name is not None and (not isinstance(name, str) or name not in known):
                raise DamagedError(f"This tokenizer names {str(name)[:40]!r}, which is none of its tokens.")
        return cls(
            vocabulary.tokens,
            merges,
            vocabulary.special,
            read_lead(tree),
            added_tokens=vocabulary.added,
            unknown=-1 if unknown is None else known[unknown],
            begin=None if begin is None else known[begin],
            end=vocabulary.end,
        )

    @classmethod
    def train(
        cls, texts: Iterable[str], vocab_size: int | None = None, special_tokens: Sequence[str] = (END_OF_TEXT,)
    ) -> "SentencePieceTokenizer":
        raise UserError("Tokenizers of SentencePiece are read here, not trained. Train the kind bpe.")


def scored(scores: Sequence[float], ids: Mapping[str, int]) -> dict[Pair, int]:
    """The merges that files leave out which have a score a token: whatever two tokens make a third, the highest first.

    Among equals the longer left part, then the longer right part, as `transformers` orders them. UserError if a token
    is longer than LONGEST, so that no file takes more than its time.
    """
    if (longest := max(map(len, ids), default=0)) > LONGEST:
        raise UserError(f"This tokenizer has a token of {longest:,} characters. At most {LONGEST} are read.")
    found = [
        (scores[id], cut, len(name) - cut, (ids[name[:cut]], ids[name[cut:]]), id)
        for name, id in ids.items()
        for cut in range(1, len(name))
        if name[:cut] in ids and name[cut:] in ids
    ]
    return {pair: id for *_, pair, id in sorted(found, key=lambda one: one[:3], reverse=True)}


def _bytes_of(name: str) -> bytes:
    found = BYTE.fullmatch(name)
    return bytes([int(found[1], 16)]) if found else to_bytes(name.replace(SPACE, " "))
