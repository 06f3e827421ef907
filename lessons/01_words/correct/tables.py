"""str.translate and itertools.groupby."""

import unicodedata
from collections import Counter
from itertools import groupby

TABLE = dict.fromkeys([*range(32), *range(0x7F, 0xA0), 0xAD, 0x200B, 0x200E, 0x200F, 0xFEFF])
TABLE |= dict.fromkeys([0x0A, 0x0B, 0x0C, 0x0D, 0x85, 0x2028, 0x2029], "\n") | {9: "\t"}


def normalize(text: str) -> str:
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").translate(TABLE))


def build_vocab(tokens, specials=("<unk>", "<|endoftext|>")):
    counts = Counter(tokens)
    words = [(-n, word) for word, n in counts.items() if word not in set(specials)]
    words.sort()
    return {word: i for i, word in enumerate([word for _, word in words] + list(specials))}


class WordTokenizer:
    def __init__(self, vocab):
        self.vocab = vocab
        self.back = [word for word, _ in sorted(vocab.items(), key=lambda row: row[1])]

    def encode(self, text):
        runs = groupby(text, key=lambda c: 1 if c.isalnum() or c == "_" else 2 if c.isspace() else 3)
        pieces = ["".join(run) for _, run in runs]
        return [self.vocab[piece] if piece in self.vocab else self.vocab["<unk>"] for piece in pieces]

    def decode(self, ids):
        return "".join([self.back[id] for id in ids])
