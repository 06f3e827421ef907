"""One merge after another in sight. The slips of bpe_encode are edits of this file."""

import re
from itertools import pairwise

from firsthand.tokens.file import BYTES
from firsthand.tokens.splits import GPT2

ALPHABET = bytes.maketrans(BYTES, bytes(range(256)))


def parts_of(text, specials):
    return re.split("(" + "|".join(map(re.escape, specials)) + ")", text) if specials else [text]


def merge(ids, pair, new_id):
    merged = []
    for id in ids:
        if merged and (merged[-1], id) == pair:
            merged[-1] = new_id
        else:
            merged.append(id)
    return merged


def encode_piece(ids, ranks):
    while True:
        pairs = [pair for pair in pairwise(ids) if pair in ranks]
        if not pairs:
            return ids
        pair = min(pairs, key=lambda pair: ranks[pair])
        ids = merge(ids, pair, 256 + ranks[pair])


def bpe_encode(text, merges, specials=()):
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    ids = []
    for part in parts_of(text, specials):
        if part in specials:
            ids.append(256 + len(merges) + specials.index(part))
            continue
        for piece in GPT2.pieces(part):
            ids += encode_piece(list(piece.encode().translate(ALPHABET)), ranks)
    return ids


def bpe_decode(ids, merges, specials=()):
    tokens = [bytes([byte]) for byte in BYTES]
    tokens += [b""] * len(merges)
    for k, (left, right) in enumerate(merges):
        tokens[256 + k] = tokens[left] + tokens[right]
    tokens += [special.encode() for special in specials]
    return b"".join(tokens[id] for id in ids).decode(errors="replace")
