"""Byte-level BPE: start from bytes, then again and again make the most frequent pair of neighbours one token.

Sennrich et al. 2016 (arXiv:1508.07909), on bytes as in GPT-2. The merges are Hugging Face's, ties included, and so
are the ids. A text is first cut into pieces (splits.py); no pair ever crosses the border of a piece.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from heapq import heapify, heappop, heappush
from itertools import count, pairwise
from types import MappingProxyType
from typing import Any

import numpy as np

from firsthand.errors import DamagedError, UserError, suggest
from firsthand.tokens import file
from firsthand.tokens.additions import additions, compose, read_additions
from firsthand.tokens.base import END_OF_TEXT, TableTokenizer, check_size, special_names, to_bytes, with_end
from firsthand.tokens.batch import Batch
from firsthand.tokens.chain import END, Chain, Pair
from firsthand.tokens.learner import Learner
from firsthand.tokens.merging import Merging, beginning, learnt_by
from firsthand.tokens.ranks import ID, apply_ranked, in_order, ranked, read_merges
from firsthand.tokens.split import Split, byte_level
from firsthand.tokens.splits import CL100K, GPT2, O200K, QWEN2, SMOLLM, TEKKEN, split_of

ALPHABET = bytes.maketrans(file.BYTES, bytes(range(256)))
"""byte -> id: the first 256 ids are the bytes in GPT-2's order, which also decides ties."""
LONG = 64
MANY = 500
"""So many pieces are encoded together in half the time that they take one by one."""
NEVER = 1 << 62


def count_pairs(ids: Sequence[int]) -> Counter[Pair]:
    """How often each pair of neighbours occurs in `ids`."""
    return Counter(pairwise(ids))


def merge(ids: Sequence[int], pair: Pair, new_id: int) -> list[int]:
    """`ids` with each `pair` replaced by `new_id`, from left to right: in a a a the first two are merged."""
    merged: list[int] = []
    at = 0
    while at < len(ids):
        if at + 1 < len(ids) and (ids[at], ids[at + 1]) == pair:
            merged.append(new_id)
            at += 2
        else:
            merged.append(ids[at])
            at += 1
    return merged


def apply_merges(ids: list[int], merges: Mapping[Pair, int]) -> list[int]:
    """Encode one piece: of the pairs present, the one that was learnt first is merged, until none is left.

    `merges[pair]` is the token that `pair` becomes; the lower its id, the earlier it was learnt.
    """
    while pairs := count_pairs(ids):
        pair = min(pairs, key=lambda pair: merges.get(pair, NEVER))
        if pair not in merges:
            break
        ids = merge(ids, pair, merges[pair])
    return ids


def train_bpe(text: str, vocab_size: int, specials: Sequence[str] = ()) -> list[Pair]:
    """The merges for a vocabulary of 256 bytes, the merges and `specials`, which stand for themselves in `text`.

    Fewer than asked for, where every piece has become one token.
    """
    parts = (part for part in _parts(text, specials) if part not in specials)
    pieces = {to_bytes(piece): n for piece, n in GPT2.count(parts).items()}
    return learn_merges(pieces, vocab_size - 256 - len(specials))


def bpe_encode(text: str, merges: Sequence[Pair], specials: Sequence[str] = ()) -> list[int]:
    """The ids of `text`: bytes, merges, then specials, which are found in a text only here, where the caller asks."""
    made = dict(zip(merges, count(256)))
    found = dict(zip(specials, count(256 + len(merges))))
    ids: list[int] = []
    for part in _parts(text, specials):
        if part in found:
            ids.append(found[part])
        else:
            for piece in GPT2.pieces(part):
                ids += apply_merges(list(to_bytes(piece).translate(ALPHABET)), made)
    return ids


def bpe_decode(ids: Iterable[int], merges: Sequence[Pair], specials: Sequence[str] = ()) -> str:
    """The text of `ids`; bytes that are no UTF-8 become U+FFFD."""
    return BPETokenizer.of_merges(merges, specials).decode(ids)


def _parts(text: str, specials: Sequence[str]) -> list[str]:
    """`text` cut at the specials, which stay as parts of their own."""
    return re.split(f"({'|'.join(map(re.escape, specials))})", text) if specials else [text]


def learn_merges(pieces: Mapping[bytes, int], limit: int) -> list[Pair]:
    """The first `limit` merges for `pieces`, given with their counts; fewer if every piece has become one token.

    Each time the pair with the highest count, among equals the smaller pair of ids. The chain keeps the counts right
    while it merges; the heap may hold a count that is too high by now, which is put right when it comes up.
    """
    chain = Chain((piece.translate(ALPHABET), n) for piece, n in pieces.items())
    heap = [(-n, pair) for pair, n in chain.counts.items()]
    heapify(heap)
    merges: list[Pair] = []
    while heap and len(merges) < limit:
        negative, pair = heappop(heap)
        actual = chain.counts[pair]
        if actual == -negative:
            for born in chain.merge(pair, new_id=256 + len(merges)):
                heappush(heap, (-chain.counts[born], born))
            merges.append(pair)
        elif actual > 0:
            heappush(heap, (-actual, pair))
    return merges


def apply_merges_short(ids: list[int], merges: Mapping[Pair, int]) -> list[int]:
    """What `apply_merges` gives, ten times sooner for a short piece: what each neighbour pair would become is kept.

    One merge at a time, the leftmost of equal ones, so that `merges` may also be ranked (ranks.py).
    """
    made = [merges.get(pair, NEVER) for pair in pairwise(ids)]
    while made and (new_id := min(made)) != NEVER:
        at = made.index(new_id)
        del made[at], ids[at]
        ids[at] = new_id = new_id & ID
        if at:
            made[at - 1] = merges.get((ids[at - 1], new_id), NEVER)
        if at < len(made):
            made[at] = merges.get((new_id, ids[at + 1]), NEVER)
    return ids


def apply_merges_long(ids: list[int], merges: Mapping[Pair, int]) -> list[int]:
    """What `apply_merges` gives, in O(n log n): a megabyte of one letter is one piece, and the others are quadratic."""
    chain = Chain([(ids, 1)])
    heap = [(merges[pair], pair) for pair in chain.counts if pair in merges]
    heapify(heap)
    while heap:
        new_id, pair = heappop(heap)
        for born in chain.merge(pair, new_id):
            if born in merges:
                heappush(heap, (merges[born], born))
    return [id for id in chain.ids if id != END]


class BPETokenizer(TableTokenizer):
    """Byte-level BPE with any layout of ids, as files have it; `merges` in the order they were learnt. `split` names
    the pattern that cuts a text into pieces. An id that stands for nothing has b"" in `tokens`.

    What other tokenizers add: `whole`, a piece that is a token becomes it, whatever its merges give (Llama 3); `nfc`, a
    text is first composed by Unicode's form C (Qwen); bytes without a token are left out (SmolLM, 21 of them).
    `added_tokens` and `begin`: see TableTokenizer.
    """

    kind = "bpe"
    model = "BPE"
    splits = (GPT2, CL100K, QWEN2, SMOLLM, O200K, TEKKEN)

    def __init__(
        self,
        tokens: Sequence[bytes],
        merges: Mapping[Pair, int],
        special_tokens: Mapping[str, int],
        split: Split,
        *,
        added_tokens: Mapping[str, int] = MappingProxyType({}),
        whole: bool = False,
        nfc: bool = False,
        begin: int | None = None,
        end: int | None = None,
    ) -> None:
        super().__init__(tokens, special_tokens, split, added_tokens, begin, end)
        self.merges, self.whole, self.nfc = dict(merges), whole, nfc
        marks = {*self.special_tokens.values(), *self.added_tokens.values()}
        self._ids = {token: id for id, token in enumerate(tokens) if token and id not in marks}
        self.byte_ids = [self._ids.get(bytes([b]), -1) for b in range(256)]
        self.missing = bytes(b for b in range(256) if self.byte_ids[b] < 0)
        """Bytes without a token, which `encode` leaves out."""
        ordered = in_order(self.merges, self.byte_ids)
        self._ranked = self.merges if ordered else ranked(self.merges)
        self._apply_long = apply_merges_long if ordered else apply_ranked

    @cached_property
    def _batch(self) -> Batch:
        return Batch(self.byte_ids, self._ranked)

    @classmethod
    def of_merges(
        cls, merges: Sequence[Pair], special_tokens: Sequence[str] = (END_OF_TEXT,), split: Split = GPT2
    ) -> "BPETokenizer":
        """GPT-2's layout: 256 bytes in the order of ALPHABET, then the merges, then the special tokens."""
        tokens = [bytes([b]) for b in file.BYTES]
        for first, second in merges:
            tokens.append(tokens[first] + tokens[second])
        special = {name: len(tokens) + i for i, name in enumerate(special_names(special_tokens, split))}
        return cls([*tokens, *(b"" for _ in special)], dict(zip(merges, count(256))), special, split)

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int | None = None,
        special_tokens: Sequence[str] = (END_OF_TEXT,),
        split: str = "gpt2",
        characters: int | None = None,
        merges: Merging | None = None,
    ) -> "BPETokenizer":
        """`split` is the name of one of `splits`, or UserError. So many merges that `vocab_size` is filled exactly, or
        UserError with the largest size that `texts` support; absent: as many as they do, at most 8192 tokens. They are
        learnt from the first `characters`, by `merges` if that is given (merging.py)."""
        known = {each.name: each for each in cls.splits}
        if split not in known:
            raise UserError(f"There is no split pattern {split!r} for BPE. {suggest(split, known)}")
        cut, names = known[split], with_end(special_tokens)
        fixed = 256 + len(special_names(names, cut))
        size = check_size(vocab_size, fixed, sys.maxsize, "byte-level BPE")
        texts = beginning(texts, characters)
        if merges is not None:
            learnt = learnt_by(merges, texts, size, special_names(names, cut))
        else:
            pieces = {to_bytes(piece): n for piece, n in cut.count(texts).items()}
            learnt = Learner({piece.translate(ALPHABET): n for piece, n in pieces.items()}).learn(size - fixed)
        check_size(vocab_size, fixed, fixed + len(learnt), "byte-level BPE")
        return cls.of_merges(learnt, names, cut)

    def prepare(self, text: str) -> str:
        return compose(text) if self.nfc else text

    def _bytes(self, piece: str) -> bytes:
        raw = to_bytes(piece)
        return raw.translate(None, self.missing) if self.missing else raw

    def encode_piece(self, piece: str) -> list[int]:
        if self.whole and (id := self._ids.get(to_bytes(piece))) is not None:
            return [id]
        ids = [self.byte_ids[byte] for byte in self._bytes(piece)]
        return (apply_merges_short if len(ids) <= LONG else self._apply_long)(ids, self._ranked)

    def encode_pieces(self, pieces: Sequence[str], dtype: np.dtype[Any]) -> list[bytes]:
        many: list[bytes] = []
        together: list[bool] = []
        for piece in pieces:
            raw = self._bytes(piece)
            together.append(0 < len(raw) <= 4 * LONG and not (self.whole and to_bytes(piece) in self._ids))
            many += [raw] * together[-1]
        one = super().encode_pieces
        if len(many) < MANY:
            return one(pieces, dtype)
        batch = iter(self._batch.encode(many, dtype))
        return [next(batch) if fits else one([piece], dtype)[0] for piece, fits in zip(pieces, together, strict=True)]

    def to_json(self) -> dict[str, Any]:
        marks = {**self.special_tokens, **self.added_tokens}
        ordinary = set(range(self.vocab_size)) - set(marks.values())
        names = [file.show(token) for token in self.tokens]
        vocab = {names[id]: id for id in sorted(ordinary) if names[id]}
        if sorted(marks.values()) != [*range(len(vocab), self.vocab_size)]:
            vocab |= marks  # `tokenizers` gives the next ids to marks that it does not find in here
        merges = [f"{names[first]} {names[second]}" for first, second in self.merges]
        model = file.bpe_model(vocab, merges, self.whole)
        made = file.tree(
            model, self.split.to_json(), byte_level(use_regex=True), self.special_tokens, self.added_tokens, self._end
        )
        begin = None if self.begin is None else (self.tokens[self.begin].decode(), self.begin)
        return made | additions(self.nfc, begin)

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> "BPETokenizer":
        split = split_of(tree.get("pre_tokenizer"), cls.splits)
        assert split is not None, "a file of another kind was not sent here"
        vocabulary = file.loose_vocabulary(tree)
        ids = {name: id for id, name in enumerate(vocabulary.tokens) if name}
        merges = read_merges(file.bpe_merges(tree), ids)
        nfc, begin = read_additions(tree)
        if begin is not None and begin not in vocabulary.special:
            raise DamagedError(f"This tokenizer begins texts with {begin[:40]!r}, which is none of its special tokens.")
        return cls(
            [file.unshow(name) for name in vocabulary.tokens],
            merges,
            vocabulary.special,
            split,
            added_tokens=vocabulary.added,
            whole=tree["model"].get("ignore_merges") is True,
            nfc=nfc,
            begin=None if begin is None else vocabulary.special[begin],
            end=vocabulary.end,
        )
