"""Recursion, and tokens as strings of bytes."""

from collections import Counter
from functools import reduce
from itertools import pairwise

from firsthand.tokens.file import BYTES
from firsthand.tokens.splits import GPT2


def count_pairs(ids):
    counts = {}
    for at in range(1, len(ids)):
        pair = (ids[at - 1], ids[at])
        counts[pair] = counts.get(pair, 0) + 1
    return Counter(counts)


def merge(ids, pair, new_id):
    def add(done, id):
        return [*done[:-1], new_id] if done and (done[-1], id) == tuple(pair) else [*done, id]

    return reduce(add, ids, [])


def train_bpe(text, vocab_size, specials=()):
    table = {byte: id for id, byte in enumerate(BYTES)}
    rows = [[text]]
    for special in specials:
        rows.append([part for one in rows[-1] for part in one.split(special)])
    words = [[table[byte] for byte in piece.encode()] for part in rows[-1] for piece in GPT2.pieces(part)]
    return learn(words, 256, vocab_size - len(specials))


def learn(words, new_id, end):
    counts = sum(map(count_pairs, words), Counter())
    if new_id >= end or not counts:
        return []
    pair = sorted(counts, key=lambda pair: (-counts[pair], pair[0], pair[1]))[0]
    return [pair, *learn([merge(word, pair, new_id) for word in words], new_id + 1, end)]


def bpe_encode(text, merges, specials=()):
    for special in specials:
        if special in text:
            before, after = text.split(special, 1)
            mark = 256 + len(merges) + specials.index(special)
            return [*bpe_encode(before, merges, specials), mark, *bpe_encode(after, merges, specials)]
    return [id for piece in GPT2.pieces(text) for id in shrink([BYTES.index(b) for b in piece.encode()], merges)]


def shrink(ids, merges):
    there = set(pairwise(ids))
    for rank, pair in enumerate(merges):
        if pair in there:
            return shrink(merge(ids, pair, 256 + rank), merges)
    return ids


def bpe_decode(ids, merges, specials=()):
    tokens = [BYTES[i : i + 1] for i in range(256)]
    for left, right in merges:
        tokens.append(tokens[left] + tokens[right])
    raw = bytearray()
    for id in ids:
        raw += tokens[id] if id < len(tokens) else specials[id - len(tokens)].encode()
    return raw.decode(errors="replace")


def wordpiece_score(pair, left, right):
    return (pair / left) / right


def wordpiece_encode(word, vocab, unknown="[UNK]"):
    found = rest(word, "", vocab)
    return [vocab[unknown]] if found is None else found


def rest(word, mark, vocab):
    if not word:
        return []
    fitting = [n for n in range(1, len(word) + 1) if mark + word[:n] in vocab]
    if not fitting:
        return None
    longest = max(fitting)
    tail = rest(word[longest:], "##", vocab)
    return None if tail is None else [vocab[mark + word[:longest]], *tail]
