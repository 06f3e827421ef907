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
from typing import Any

import numpy as np

from firsthand.errors import DamagedError, UserError, suggest
from firsthand.tokens import file
from firsthand.tokens.base import END_OF_TEXT, TableTokenizer, check_size, special_names, to_bytes, with_end
from firsthand.tokens.batch import Batch
from firsthand.tokens.chain import END, Chain, Pair
from firsthand.tokens.learner import Learner
from firsthand.tokens.split import Split, byte_level
from firsthand.tokens.splits import CL100K, GPT2, split_of

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
    """What `apply_merges` gives, ten times sooner for a short piece: what each neighbour pair would become is kept."""
    made = [merges.get(pair, NEVER) for pair in pairwise(ids)]
    while made and (new_id := min(made)) != NEVER:
        at = made.index(new_id)
        del made[at], ids[at]
        ids[at] = new_id
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
    """Byte-level BPE with any layout of ids, as files have it; `merges` in the order they were learnt, which is also
    the order of the ids they make. `split` names the pattern that cuts a text into pieces."""

    kind = "bpe"
    model = "BPE"
    splits = (GPT2, CL100K)

    def __init__(
        self, tokens: Sequence[bytes], merges: Mapping[Pair, int], special_tokens: Mapping[str, int], split: Split
    ) -> None:
        super().__init__(tokens, special_tokens, split)
        special = set(special_tokens.values())
        ids = {token: id for id, token in enumerate(tokens) if id not in special}
        self.byte_ids = [ids[bytes([b])] for b in range(256)]
        self.merges = dict(merges)

    @cached_property
    def _batch(self) -> Batch:
        return Batch(self.byte_ids, self.merges)

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
    ) -> "BPETokenizer":
        """`split` is "gpt2" or "cl100k", or UserError. So many merges that `vocab_size` is filled exactly, or UserError
        with the largest size that `texts` support; absent: as many as they do, at most 8192 tokens."""
        known = {each.name: each for each in cls.splits}
        if split not in known:
            raise UserError(f"There is no split pattern {split!r} for BPE. {suggest(split, known)}")
        cut, names = known[split], with_end(special_tokens)
        fixed = 256 + len(special_names(names, cut))
        size = check_size(vocab_size, fixed, sys.maxsize, "byte-level BPE")
        pieces = {to_bytes(piece): n for piece, n in cut.count(texts).items()}
        merges = Learner({piece.translate(ALPHABET): n for piece, n in pieces.items()}).learn(size - fixed)
        check_size(vocab_size, fixed, fixed + len(merges), "byte-level BPE")
        return cls.of_merges(merges, names, cut)

    def encode_piece(self, piece: str) -> list[int]:
        ids = [self.byte_ids[byte] for byte in to_bytes(piece)]
        return (apply_merges_short if len(ids) <= LONG else apply_merges_long)(ids, self.merges)

    def encode_pieces(self, pieces: Sequence[str], dtype: np.dtype[Any]) -> list[bytes]:
        short = [len(piece) <= LONG for piece in pieces]
        if sum(short) < MANY:
            return super().encode_pieces(pieces, dtype)
        many = [to_bytes(piece) for piece, fits in zip(pieces, short, strict=True) if fits]
        batch, one = iter(self._batch.encode(many, dtype)), super().encode_pieces
        return [next(batch) if fits else one([piece], dtype)[0] for piece, fits in zip(pieces, short, strict=True)]

    def to_json(self) -> dict[str, Any]:
        special = set(self.special_tokens.values())
        names = [file.show(token) for token in self.tokens]
        vocab = {name: id for id, name in enumerate(names) if id not in special}
        merges = [f"{names[first]} {names[second]}" for first, second in self.merges]
        model = file.bpe_model(vocab, merges)
        return file.tree(model, self.split.to_json(), byte_level(use_regex=True), self.special_tokens)

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> "BPETokenizer":
        names, special = file.vocabulary(tree)
        split = split_of(tree.get("pre_tokenizer"), cls.splits)
        assert split is not None, "a file of another kind was not sent here"
        ids = {name: id for id, name in enumerate(names) if name}
        if any(file.show(bytes([b])) not in ids for b in range(256)):
            raise DamagedError("This byte-level BPE is damaged: not all 256 bytes are in its vocabulary.")
        return cls([file.unshow(name) for name in names], _read_merges(file.bpe_merges(tree), ids), special, split)


def _read_merges(pairs: Iterable[tuple[str, str]], ids: Mapping[str, int]) -> dict[Pair, int]:
    """The merges by id, or DamagedError.

    Each must make a new token, of higher id, out of bytes and tokens made before it: then the order of the ids is the
    order of merging, and all occurrences of a pair can be merged at once.
    """
    made: dict[Pair, int] = {}
    known = {ids[file.show(bytes([b]))] for b in range(256)}
    last = -1
    for first, second in pairs:
        pair, new_id = (ids.get(first, -1), ids.get(second, -1)), ids.get(first + second, -1)
        if not (known.issuperset(pair) and new_id > last and new_id not in known):
            raise DamagedError(
                f"The merge {first[:40]!r} {second[:40]!r} does not make a new token from tokens made before it, "
                f"so this is no byte-level BPE as it is trained here or by GPT-2."
            )
        made[pair] = last = new_id
        known.add(new_id)
    return made
