"""Every step on a line of its own. The slips of word_tokenizer are edits of this file."""

import re
from collections import Counter

PIECE = re.compile(r"\w+|\s+|[^\w\s]+")


def build_vocab(tokens, specials=("<unk>", "<|endoftext|>")):
    tokens = list(tokens)
    counts = Counter(token for token in tokens if token not in specials)
    words = sorted(counts, key=lambda word: (-counts[word], word))
    return {word: id for id, word in enumerate([*words, *specials])}


class WordTokenizer:
    def __init__(self, vocab):
        self.vocab = vocab
        self.words = {id: word for word, id in vocab.items()}
        self.unknown = vocab["<unk>"]

    def encode(self, text):
        pieces = PIECE.findall(text)
        return [self.vocab.get(piece, self.unknown) for piece in pieces]

    def decode(self, ids):
        words = [self.words[id] for id in ids]
        return "".join(words)
