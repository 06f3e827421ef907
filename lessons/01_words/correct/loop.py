"""Character by character: both exercises without a single pattern."""

import unicodedata

GONE = "\xad\u200b\u200e\u200f\ufeff"
ENDS = "\r\x0b\x0c\x85\u2028\u2029"


def normalize(text):
    kept, before = [], ""
    for char in text:
        if char == "\n" and before == "\r":
            before = char
            continue
        before = char
        if char in ENDS:
            char = "\n"
        if char in GONE or (unicodedata.category(char) == "Cc" and char not in "\t\n"):
            continue
        kept.append(char)
    return unicodedata.normalize("NFC", "".join(kept))


def build_vocab(tokens, specials=("<unk>", "<|endoftext|>")):
    how_often = {}
    for token in tokens:
        how_often[token] = how_often.get(token, 0) + 1
    vocab = {}
    while left := [word for word in how_often if word not in vocab and word not in specials]:
        most = max(how_often[word] for word in left)
        vocab[min(word for word in left if how_often[word] == most)] = len(vocab)
    for special in specials:
        vocab[special] = len(vocab)
    return vocab


def kind(char):
    if char.isalnum() or char == "_":
        return "word"
    return "white" if char.isspace() else "other"


class WordTokenizer:
    def __init__(self, vocab):
        self.id_of = vocab
        self.word_of = {id: word for word, id in vocab.items()}

    def look_up(self, piece):
        if piece in self.id_of:
            return self.id_of[piece]
        return self.id_of["<unk>"]

    def encode(self, text):
        ids, piece = [], ""
        for char in text:
            if piece and kind(char) != kind(piece[-1]):
                ids.append(self.look_up(piece))
                piece = ""
            piece += char
        if piece:
            ids.append(self.look_up(piece))
        return ids

    def decode(self, ids):
        text = ""
        for id in ids:
            text += self.word_of[id]
        return text
