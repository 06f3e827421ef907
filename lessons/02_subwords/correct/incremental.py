"""Training that corrects its counts instead of making them anew; encoding one merge after another."""

from collections import Counter, defaultdict
from itertools import pairwise

import regex

from firsthand.tokens.file import BYTES
from firsthand.tokens.splits import GPT2

NUMBER = {byte: id for id, byte in enumerate(BYTES)}


def numbers(piece):
    return [NUMBER[byte] for byte in piece.encode("utf-8")]


def count_pairs(ids):
    return Counter(pairwise(ids))


def merge(ids, pair, new_id):
    out, waiting = [], False
    for id in ids:
        if waiting and id == pair[1]:
            out[-1], waiting = new_id, False
        else:
            out.append(id)
            waiting = id == pair[0]
    return out


def without(text, specials):
    return regex.split("|".join(map(regex.escape, specials)), text) if specials else [text]


def train_bpe(text, vocab_size, specials=()):
    pieces = Counter(piece for part in without(text, specials) for piece in GPT2.pieces(part))
    rows = [[numbers(piece), n] for piece, n in pieces.items()]
    counts, where = Counter(), defaultdict(set)
    for at, (ids, n) in enumerate(rows):
        for pair, times in count_pairs(ids).items():
            counts[pair] += n * times
            where[pair].add(at)
    merges = []
    for new_id in range(256, vocab_size - len(specials)):
        best = max(counts.values(), default=0)
        if best == 0:
            break
        pair = min(pair for pair, n in counts.items() if n == best)
        merges.append(pair)
        for at in where.pop(pair):
            ids, n = rows[at]
            counts.subtract({pair: n * times for pair, times in count_pairs(ids).items()})
            rows[at][0] = ids = merge(ids, pair, new_id)
            for born, times in count_pairs(ids).items():
                counts[born] += n * times
                where[born].add(at)
    return merges


def bpe_encode(text, merges, specials=()):
    found, start = [], 0
    marks = regex.compile("|".join(map(regex.escape, specials))) if specials else None
    for match in marks.finditer(text) if marks else ():
        found += ordinary(text[start : match.start()], merges)
        found.append(256 + len(merges) + list(specials).index(match.group()))
        start = match.end()
    return found + ordinary(text[start:], merges)


def ordinary(text, merges):
    ids = []
    for piece in GPT2.pieces(text):
        row = numbers(piece)
        for new_id, pair in enumerate(merges, 256):  # what a merge makes is part of later merges only
            row = merge(row, pair, new_id)
        ids.extend(row)
    return ids


def bpe_decode(ids, merges, specials=()):
    def raw(id):
        if id < 256:
            return BYTES[id : id + 1]
        if id < 256 + len(merges):
            return raw(merges[id - 256][0]) + raw(merges[id - 256][1])
        return specials[id - 256 - len(merges)].encode()

    return str(b"".join(map(raw, ids)), "utf-8", "replace")
