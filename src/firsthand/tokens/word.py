"""Words, runs of white space and runs of punctuation: short sequences, and <unk> for every word not seen before."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from firsthand.errors import DamagedError, UserError
from firsthand.tokens import file
from firsthand.tokens.base import END_OF_TEXT, TableTokenizer, check_size, special_names, with_end
from firsthand.tokens.splits import WORDS

UNKNOWN = "<unk>"


def build_vocab(
    tokens: Iterable[str] | Mapping[str, int], specials: Sequence[str] = (UNKNOWN, END_OF_TEXT)
) -> dict[str, int]:
    """An id for each different token, the most frequent first, equal counts in the order of code points.

    `tokens` may also be their counts. `specials` take the ids after them, so the ids of words depend on words alone.
    """
    counts: Counter[str] = Counter(tokens)
    for special in specials:
        counts.pop(special, None)
    words = sorted(counts, key=lambda word: (-counts[word], word))
    return {word: id for id, word in enumerate([*words, *specials])}


class WordTokenizer(TableTokenizer):
    """`vocab` gives each word its id, 0 to n-1, and must hold <unk>.

    Its special tokens are the entries that the split would cut into pieces: no text can produce them.
    """

    kind = "word"
    model = "WordLevel"
    splits = (WORDS,)

    def __init__(self, vocab: Mapping[str, int]) -> None:
        if UNKNOWN not in vocab or sorted(vocab.values()) != list(range(len(vocab))):
            raise UserError(f"A word vocabulary needs {UNKNOWN} and the ids 0 to n-1, each once: see build_vocab.")
        self.unknown = vocab[UNKNOWN]
        self.ids = {word: id for word, id in vocab.items() if len(WORDS.pieces(word)) == 1}
        special = {name: id for name, id in vocab.items() if name not in self.ids and name != UNKNOWN}
        super().__init__([word.encode() for word in sorted(vocab, key=vocab.__getitem__)], special, WORDS)

    @classmethod
    def train(
        cls, texts: Iterable[str], vocab_size: int | None = None, special_tokens: Sequence[str] = (END_OF_TEXT,)
    ) -> "WordTokenizer":
        """The most frequent words, as many as `vocab_size` leaves room for (absent: all, at most 32,768 tokens)."""
        specials = [UNKNOWN, *special_names(with_end(special_tokens), WORDS)]
        counts = {word: n for word, n in WORDS.count(texts).items() if file.storable(word)}
        most = len(counts) + len(specials)
        size = check_size(vocab_size or min(most, 32_768), len(specials), most, "a word tokenizer")
        kept = sorted(counts, key=lambda word: (-counts[word], word))[: size - len(specials)]
        return cls(build_vocab({word: counts[word] for word in kept}, specials))

    def encode_piece(self, piece: str) -> list[int]:
        return [self.ids.get(piece, self.unknown)]

    def to_json(self) -> dict[str, Any]:
        model = {"type": "WordLevel", "vocab": {**self.ids, UNKNOWN: self.unknown}, "unk_token": UNKNOWN}
        return file.tree(model, self.split.to_json(), {"type": "Fuse"}, self.special_tokens)

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> "WordTokenizer":
        tokens, special = file.vocabulary(tree)
        made = cls({token: id for id, token in enumerate(tokens) if token} | special)
        if made.special_tokens != special or tree["model"].get("unk_token") != UNKNOWN:
            raise DamagedError("This word tokenizer is damaged: its words, <unk> and special tokens do not agree.")
        return made
