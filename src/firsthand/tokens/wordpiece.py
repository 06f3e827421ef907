"""WordPiece: like BPE, but what is merged is the pair that occurs most often for how common its parts are.

Schuster and Nakajima 2012; Wu et al. 2016 (arXiv:1609.08144). To encode a word, take the longest token that it begins
with, then the longest for the rest, and so on. A token that continues a word is written ##so. Unlike BERT's, this one
keeps white space and case: words, white space and single marks are all pieces, so that the text comes back unchanged.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush
from typing import Any

from firsthand.errors import DamagedError, UserError
from firsthand.tokens import file
from firsthand.tokens.base import END_OF_TEXT, TableTokenizer, check_size, special_names, with_end
from firsthand.tokens.chain import Chain, Pair
from firsthand.tokens.splits import WORDPIECE

UNKNOWN = "[UNK]"
MARK = "##"
LONGEST_WORD = 100  # of a file; the split makes none longer than 64


def wordpiece_score(pair: int, left: int, right: int) -> float:
    """How much likelier the two are together than by chance, up to a constant: counts of the pair and of each part."""
    return pair / (left * right)


def wordpiece_encode(word: str, vocab: Mapping[str, int], unknown: str = UNKNOWN, longest: int = 64) -> list[int]:
    """The ids of one word by longest match from the left; a word that cannot be matched to its end is one unknown.

    `longest`: no token has more characters, so that none need be tried.
    """
    ids, start = [], 0
    while start < len(word):
        mark = MARK if start else ""
        for end in range(min(len(word), start + longest), start, -1):
            if (id := vocab.get(mark + word[start:end])) is not None:
                break
        else:
            return [vocab[unknown]]
        ids.append(id)
        start = end
    return ids


def learn_wordpieces(words: Mapping[str, int], alphabet: Sequence[str], limit: int) -> list[str]:
    """At most `limit` tokens, `alphabet` first, for `words` with their counts.

    Merged is the pair with the best score, among equals the one of the smaller ids. Scores alone would spend the
    vocabulary on rare letters that happen to meet, so only pairs that occur `least` times compete; when none of those
    is left, `least` is halved. A merge changes the score of every pair that holds one of its two parts: each of those
    goes into the heap anew, and what is stale is skipped.
    """
    ids = {token: id for id, token in enumerate(alphabet)}
    chain = Chain(([ids[word[0]], *(ids[MARK + char] for char in word[1:])], n) for word, n in words.items())
    tokens = list(alphabet)
    holders: defaultdict[int, set[Pair]] = defaultdict(set)
    heap: list[tuple[float, Pair]] = []
    least = max(chain.counts.values(), default=0)

    def score(pair: Pair) -> float:
        return wordpiece_score(chain.counts[pair], chain.symbols[pair[0]], chain.symbols[pair[1]])

    def compete(pairs: Iterable[Pair]) -> None:
        for pair in pairs:
            if chain.counts[pair] >= least:
                heappush(heap, (-score(pair), pair))
                holders[pair[0]].add(pair)
                holders[pair[1]].add(pair)

    compete(list(chain.counts))
    while len(tokens) < limit:
        if not heap:
            if least < 2:
                break
            least //= 2
            compete(chain.counts)
            continue
        negative, pair = heappop(heap)
        if chain.counts[pair] >= least and score(pair) == -negative:
            first, second = pair
            born = chain.merge(pair, len(tokens))
            tokens.append(tokens[first] + tokens[second].removeprefix(MARK))
            compete(born | holders.pop(first) | holders.pop(second, set()))
    return tokens


class WordPieceTokenizer(TableTokenizer):
    """`pieces` in the order of their ids (those that continue a word with ##), then [UNK], then the special tokens."""

    kind = "wordpiece"
    model = "WordPiece"
    splits = (WORDPIECE,)

    def __init__(self, pieces: Sequence[str], special_tokens: Sequence[str] = (END_OF_TEXT,)) -> None:
        self.vocab = {piece: id for id, piece in enumerate([*pieces, UNKNOWN])}
        self.unknown = len(pieces)
        special = {name: self.unknown + 1 + i for i, name in enumerate(special_names(special_tokens, WORDPIECE))}
        self.longest = max(map(len, pieces), default=1)
        texts = [piece.removeprefix(MARK) if len(piece) > len(MARK) else piece for piece in pieces]
        super().__init__([text.encode() for text in (*texts, UNKNOWN, *special)], special, WORDPIECE)

    @classmethod
    def train(
        cls, texts: Iterable[str], vocab_size: int | None = None, special_tokens: Sequence[str] = (END_OF_TEXT,)
    ) -> "WordPieceTokenizer":
        """`vocab_size` is filled exactly, or UserError with the largest that `texts` support (absent: as many as they
        do, at most 8192). All characters are tokens, or the most frequent ones where they would leave no room."""
        names = with_end(special_tokens)
        fixed = len(special_names(names, WORDPIECE)) + 1
        words = {word: n for word, n in WORDPIECE.count(texts).items() if file.storable(word)}
        counts = _alphabet(words)
        room = check_size(vocab_size, fixed + 2, sys.maxsize, "WordPiece") - fixed
        frequent = sorted(counts, key=lambda piece: (-counts[piece], piece))
        kept = len(frequent) if len(frequent) <= room else room // 2
        known = set(frequent[:kept])
        words = {w: n for w, n in words.items() if w[0] in known and all(MARK + char in known for char in w[1:])}
        pieces = learn_wordpieces(words, sorted(known), room)
        pieces += frequent[kept:][: room - len(pieces)]
        check_size(vocab_size, 1, fixed + len(pieces), "WordPiece")
        return cls(pieces, names)

    def encode_piece(self, piece: str) -> list[int]:
        return wordpiece_encode(piece, self.vocab, longest=self.longest)

    def to_json(self) -> dict[str, Any]:
        model = {
            "type": "WordPiece",
            "unk_token": UNKNOWN,
            "continuing_subword_prefix": MARK,
            "max_input_chars_per_word": LONGEST_WORD,
            "vocab": self.vocab,
        }
        unmark = {"type": "Replace", "pattern": {"Regex": f"^{MARK}"}, "content": ""}
        decoder = {"type": "Sequence", "decoders": [unmark, {"type": "Fuse"}]}
        return file.tree(model, self.split.to_json(), decoder, self.special_tokens)

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> "WordPieceTokenizer":
        tokens, special = file.vocabulary(tree)
        size = len(tokens) - len(special) - 1
        model = tree["model"]
        if (model.get("unk_token"), model.get("continuing_subword_prefix")) != (UNKNOWN, MARK):
            raise UserError(f"This WordPiece does not write {UNKNOWN} and {MARK}, which firsthand does.")
        if tokens[size : size + 1] != [UNKNOWN] or model.get("max_input_chars_per_word") != LONGEST_WORD:
            raise DamagedError(
                f"This WordPiece is damaged: {UNKNOWN} is not the last ordinary token, or words are cut."
            )
        return cls(tokens[:size], sorted(special, key=special.__getitem__))


def _alphabet(words: Mapping[str, int]) -> Counter[str]:
    """How often each single character begins a word, and continues one."""
    counts: Counter[str] = Counter()
    for word, n in words.items():
        counts[word[0]] += n
        for char in word[1:]:
            counts[MARK + char] += n
    return counts
