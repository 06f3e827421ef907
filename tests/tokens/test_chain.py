"""The linked list of words: after any merges its counts are what counting anew gives."""

import random
from collections import Counter
from itertools import pairwise

from firsthand.tokens.bpe import merge
from firsthand.tokens.chain import END, Chain


def _words(chain):
    """The words as they stand now."""
    words, word = [], []
    at = chain._right[0]
    while at < len(chain.ids):
        if chain.ids[at] == END:
            words.append(word)
            word = []
        else:
            word.append(chain.ids[at])
        at = chain._right[at]
    return words


def test_counts_stay_right():
    draw = random.Random(2)
    words = [([draw.randrange(4) for _ in range(draw.randrange(30))], draw.randrange(1, 9)) for _ in range(80)]
    chain = Chain(words)
    sequences = [ids for ids, _ in words]
    weights = [weight for _, weight in words]
    for new_id in range(4, 40):
        pair = draw.choice(sorted(pair for pair, n in chain.counts.items() if n))
        born = chain.merge(pair, new_id)
        sequences = [merge(ids, pair, new_id) for ids in sequences]
        assert _words(chain) == sequences
        counts, symbols = Counter(), Counter()
        for ids, weight in zip(sequences, weights, strict=True):
            symbols.update({id: weight * n for id, n in Counter(ids).items()})
            for found in pairwise(ids):
                # a run of one symbol holds an overlapping pair of it after each but the last
                counts[found] += weight
        assert {pair: n for pair, n in chain.counts.items() if n} == counts
        assert {id: n for id, n in chain.symbols.items() if n and id != END} == symbols
        assert born == {found for found in counts if new_id in found}


def test_a_pair_that_was_born_and_went_again_is_not_reported():
    chain = Chain([(b"abab", 3)])
    assert chain.merge((97, 98), 300) == {(300, 300)}
    assert chain.counts[300, 300] == 3


def test_words_do_not_touch():
    chain = Chain([(b"ab", 1), (b"", 5), (b"ba", 2)])
    assert chain.counts == {(97, 98): 1, (98, 97): 2}
    assert chain.merge((97, 98), 300) == set()
    assert _words(chain) == [[300], [], [98, 97]]
