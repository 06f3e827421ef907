"""What must hold of wordpiece, in teaching order."""

import torch

from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks

TOKENS = ["un", "una", "a", "b", "able", "aff", "f", "ffa", "Un", "le", "x", "y", "u", "[UNK]", "<?>"]
TOKENS += ["##a", "##f", "##ff", "##able", "##b", "##l", "##e", "##le", "##un", "##n", "##az"]
VOCAB = {token: id for id, token in enumerate(TOKENS)}
COUNTS = [(10, 20, 50), (3, 7, 11), (1, 1, 1), (5, 5, 13)]


def cut(*words: str, unknown: str = "[UNK]"):
    return lambda draw: {"words": list(words), "vocab": VOCAB, "unknown": unknown}


def pieces(parts, words, vocab, unknown):
    scores = [float(parts.wordpiece_score(*counts)) for counts in COUNTS]
    ids = [list(parts.wordpiece_encode(word, vocab, unknown)) for word in words]
    return {"ids": ids, "scores": torch.tensor(scores, dtype=torch.float64)}


def one_word(word: str):
    return lambda parts: list(parts.wordpiece_encode(word, VOCAB))


WORDPIECE = Checks(
    call=pieces,
    cases={
        "usual": cut("un", "unaff", "affable", "able", "una", "ffable", "auna", "le"),
        "unknown": cut("unable", "zebra", "unz", "unaz", "afz", "xa", "ux", "xy"),
        "another name for unknown": cut("zebra", "uff", unknown="<?>"),
        "capitals": cut("Un", "UN", "Unaff", "Able"),
        "what only continues": cut("ff", "ffl", "lun"),
        "no word": cut(""),
    },
    edges=("no word",),
    properties=(
        p.by_hand(
            "score",
            lambda parts: float(parts.wordpiece_score(10, 20, 50)),
            0.01,
            "wordpiece_score(10, 20, 50)",
            "Ten meetings of a token that occurs 20 times with one that occurs 50 times: 10 / (20 · 50).",
            "Mind the brackets: a / b * c is (a / b) * c.",
        ),
        p.by_hand(
            "whole_word",
            one_word("able"),
            [VOCAB["able"]],
            "wordpiece_encode('able'), with able, a, ##b, ##l and ##e in the vocabulary,",
            "The longest token that fits is the whole word.",
            "Try the ends from the last character backwards; the first that fits is the longest.",
        ),
        p.by_hand(
            "continued",
            one_word("unaff"),
            [VOCAB["una"], VOCAB["##ff"]],
            "wordpiece_encode('unaff'), with una, un, ##a, ##f, ##ff and aff in the vocabulary,",
            "una begins the word; what continues it is looked up with ## in front.",
            "Print what you look up at each step: una..., then ##ff, ##f.",
        ),
        p.by_hand(
            "greedy",
            one_word("unable"),
            [VOCAB["una"], VOCAB["##b"], VOCAB["##le"]],
            "wordpiece_encode('unable'), with una, ##b and ##le, but also un and ##able in the vocabulary,",
            "The longest match wins at each place, though un ##able would be shorter. Nothing is taken back.",
            "Never look further than the token at hand.",
        ),
        p.by_hand(
            "unknown_whole",
            one_word("unz"),
            [VOCAB["[UNK]"]],
            "wordpiece_encode('unz'), with nothing for z in the vocabulary,",
            "If a place has no token, the whole word is one unknown; half a word would mislead.",
            "Return [vocab[unknown]] at once where no end fits, whatever was found before.",
        ),
        p.by_hand(
            "case_kept",
            one_word("UN"),
            [VOCAB["[UNK]"]],
            "wordpiece_encode('UN'), with un and Un in the vocabulary,",
            "Letters of another size are other letters.",
            "Look the word up as it is.",
        ),
    ),
)
