"""Every pair is counted anew for each merge. The slips of bpe_train are edits of this file."""

import re
from collections import Counter
from itertools import pairwise

from firsthand.tokens.file import BYTES
from firsthand.tokens.splits import GPT2

ALPHABET = bytes.maketrans(BYTES, bytes(range(256)))


def count_pairs(ids):
    counts = Counter()
    for pair in pairwise(ids):
        counts[pair] += 1
    return counts


def merge(ids, pair, new_id):
    merged, at = [], 0
    while at < len(ids):
        if tuple(ids[at : at + 2]) == pair:
            merged.append(new_id)
            at += 2
        else:
            merged.append(ids[at])
            at += 1
    return merged


def cut(text, specials):
    parts = re.split("|".join(map(re.escape, specials)), text) if specials else [text]
    return [piece for part in parts for piece in GPT2.pieces(part)]


def train_bpe(text, vocab_size, specials=()):
    words = Counter(cut(text, specials))
    rows = [(list(word.encode().translate(ALPHABET)), n) for word, n in words.items()]
    merges = []
    while len(merges) < vocab_size - 256 - len(specials):
        counts = Counter()
        for ids, n in rows:
            for pair, times in count_pairs(ids).items():
                counts[pair] += n * times
        if not counts:
            break
        pair = min(counts, key=lambda pair: (-counts[pair], pair))
        rows = [(merge(ids, pair, 256 + len(merges)), n) for ids, n in rows]
        merges.append(pair)
    return merges
