"""The fast learner and the batch of pieces: what the readable code in bpe.py gives."""

import random
from collections import Counter

import numpy as np
import pytest

from firsthand.tokens import learner
from firsthand.tokens.base import to_bytes
from firsthand.tokens.batch import Batch
from firsthand.tokens.bpe import ALPHABET, BPETokenizer, apply_merges, learn_merges
from firsthand.tokens.learner import Learner


def _learn(pieces, limit):
    return Learner({piece.translate(ALPHABET): n for piece, n in pieces.items()}).learn(limit)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("ratio", [2, 16])
def test_merges_are_those_of_the_readable_code(seed, ratio, monkeypatch):
    """Few letters and runs: ties, pairs that overlap themselves, and several rounds."""
    monkeypatch.setattr(learner, "ROUND", ratio)
    draw = random.Random(seed)
    letters = b"ab" if seed % 2 else b"abcdefgh "
    words = Counter(bytes(draw.choices(letters, k=draw.randrange(1, 20))) * draw.randrange(1, 4) for _ in range(300))
    pieces = {word: n * draw.choice((1, 1, 2, 50)) for word, n in words.items()}
    everything = learn_merges(pieces, 1 << 20)
    assert _learn(pieces, 1 << 20) == everything
    for limit in (0, 1, 40):
        assert _learn(pieces, limit) == everything[:limit]


def test_nothing_to_learn():
    assert _learn({}, 5) == []
    assert _learn({b"a": 3}, 5) == []


def test_a_batch_gives_what_each_piece_gives(plays, many_scripts):
    tokenizer = BPETokenizer.train([plays[0], many_scripts[0]], 2000)
    draw = random.Random(5)
    pieces = [draw.randbytes(draw.randrange(1, 12)) for _ in range(500)]
    pieces += [b"a" * n for n in range(1, 65)]
    pieces += list(map(to_bytes, tokenizer.split.pieces(plays[1][:20_000] + many_scripts[1][:5000])))
    for lot in (pieces, pieces[:1], [b"the"] * 2):
        found = Batch(tokenizer.byte_ids, tokenizer.merges).encode(lot, np.dtype(np.uint32))
        for piece, ids in zip(lot, found, strict=True):
            expected = apply_merges([tokenizer.byte_ids[byte] for byte in piece], tokenizer.merges)
            assert np.frombuffer(ids, np.uint32).tolist() == expected


def test_a_batch_without_merges():
    tokenizer = BPETokenizer.of_merges([])
    assert Batch(tokenizer.byte_ids, {}).encode([b"!"], np.dtype(np.uint16)) == [np.uint16(0).tobytes()]
