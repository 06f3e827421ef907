"""normalize with two patterns, and the words with the library `regex`, as the shipped part has them."""

import re
import unicodedata
from collections import Counter
from itertools import count

import regex


def normalize(text):
    text = re.sub("\r\n|[\r\x0b\x0c\x85\u2028\u2029]", "\n", text)
    text = re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\ufeff]", "", text)
    return unicodedata.normalize("NFC", text)


def build_vocab(tokens, specials=("<unk>", "<|endoftext|>")):
    found = Counter(token for token in tokens if token not in specials)
    alphabetical = sorted(found.items())
    frequent = sorted(alphabetical, key=lambda row: row[1], reverse=True)  # a stable sort keeps the alphabet
    return dict(zip([word for word, _ in frequent] + list(specials), count(), strict=False))


class WordTokenizer:
    pattern = regex.compile(r"[\p{L}\p{M}\p{N}_]+|\s+|[^\s\p{L}\p{M}\p{N}_]+")

    def __init__(self, vocab):
        self.vocab = dict(vocab)
        self.table = sorted(vocab, key=vocab.get)

    def encode(self, text):
        unknown = self.vocab["<unk>"]
        return [self.vocab.get(match.group(), unknown) for match in self.pattern.finditer(text)]

    def decode(self, ids):
        return "".join(map(self.table.__getitem__, ids))
