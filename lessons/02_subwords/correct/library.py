"""Training and encoding as the project's own fast code has them, and the tokenizer class for decoding."""

import re
from collections import Counter

from firsthand.tokens.bpe import ALPHABET, BPETokenizer
from firsthand.tokens.learner import Learner
from firsthand.tokens.splits import GPT2


def count_pairs(ids):
    return Counter((ids[i], ids[i + 1]) for i in range(len(ids) - 1))


def merge(ids, pair, new_id):
    out = list(ids)
    i = 0
    while i < len(out) - 1:
        if (out[i], out[i + 1]) == pair:
            out[i : i + 2] = [new_id]
        i += 1
    return out


def train_bpe(text, vocab_size, specials=()):
    for special in specials:
        text = text.replace(special, "\0")
    words = Counter(piece for part in text.split("\0") for piece in GPT2.pieces(part))
    return Learner({word.encode().translate(ALPHABET): n for word, n in words.items()}).learn(
        max(0, vocab_size - 256 - len(specials))
    )


def bpe_encode(text, merges, specials=()):
    tokenizer = BPETokenizer.of_merges(merges, specials)
    pattern = "|".join(map(re.escape, specials)) or "(?!)"
    ids = []
    while match := re.search(pattern, text):
        ids += [*tokenizer.encode(text[: match.start()]), tokenizer.special_tokens[match.group()]]
        text = text[match.end() :]
    return ids + tokenizer.encode(text)


def bpe_decode(ids, merges, specials=()):
    return BPETokenizer.of_merges(merges, specials).decode_bytes(ids).decode("utf-8", "replace")
