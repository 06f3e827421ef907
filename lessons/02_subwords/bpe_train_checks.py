"""What must hold of bpe_train, in teaching order."""

from collections import Counter

from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks
from firsthand.tokens.file import BYTES

FABLE = (
    "The fox saw the grapes, and the fox said: these grapes are sour. Sourest of the sour!\n"
    "Nooo, said the grapes; we hang higher than foxes see, and sweeter than foxes seem. Naïve fox, naïve fox.\n"
)
IDS = bytes.maketrans(BYTES, bytes(range(256)))


def learn(text: str, vocab_size: int, specials: tuple[str, ...] = ()):
    return lambda draw: {
        "text": text,
        "vocab_size": vocab_size,
        "specials": specials,
        "ids": draw.integers(3, 40).tolist(),
        "pair": tuple(draw.integers(3, 2).tolist()),
    }


def train(parts, text, vocab_size, specials, ids, pair):
    return parts.train_bpe(text, vocab_size, specials), parts.count_pairs(ids), parts.merge(ids, pair, 7)


def full(given, out) -> bool:
    return len(out[0]) == given["vocab_size"] - 256 - len(given["specials"])


TRAIN = Checks(
    call=train,
    cases={
        "usual": learn(FABLE, 256 + 40),
        "specials": learn("ab<end><end><end>abab<end><end><end>" + FABLE[:60], 256 + 2 + 14, ("<end>", "<e>")),
        "specials of marks": learn("ab<|e|>ab|e|cab.b<|e|>a|b", 256 + 2 + 9, ("<|e|>", ".b")),
        "runs of one letter": learn("aaa aaaa baaaaa baaaaa aaaab", 256 + 8),
        "all of it learnt": learn("so so it is", 300),
        "other scripts": learn("日本日本 дада né né 🙂🙂", 256 + 12),
        "white space": learn("a\n\n\n\na    a\n\n\n\na    b", 256 + 6),
        "nothing to learn": learn("", 300),
        "no room": learn(FABLE, 256),
    },
    properties=(
        p.by_hand(
            "pairs",
            lambda parts: parts.count_pairs([1, 1, 1, 2]),
            Counter({(1, 1): 2, (1, 2): 1}),
            "count_pairs([1, 1, 1, 2])",
            "Neighbours are counted at every place, also where they overlap.",
            "Write down the three neighbours (1, 1), (1, 1), (1, 2), and count.",
        ),
        p.by_hand(
            "merged",
            lambda parts: parts.merge([1, 1, 1, 2, 1, 1], (1, 1), 9),
            [9, 1, 2, 9],
            "merge([1, 1, 1, 2, 1, 1], (1, 1), 9)",
            "From left to right, wherever the pair stands; a token that was merged is used up.",
            "Go through it with a finger: where do you stand after a merge, and when do you stop?",
        ),
        p.by_hand(
            "bytes",
            lambda parts: parts.train_bpe("éé", 257),
            [(127, 102)],
            "train_bpe('éé', 257)",
            "é is two bytes, 127 and 102 in GPT-2's order. The pair comes twice, and there is room for one merge.",
            'Look at list("é".encode().translate(ALPHABET)).',
        ),
        p.by_hand(
            "borders",
            lambda parts: parts.train_bpe("a b a b a b", 300),
            [(220, 65), (220, 64)],
            "train_bpe('a b a b a b', 300)",
            "The pieces are `a`, ` b`, ` a` and so on. Pairs live within a piece, or tokens would be whole phrases.",
            "Print the pieces, and the ids of each; count the pairs piece by piece.",
        ),
        p.by_hand(
            "most_frequent",
            lambda parts: parts.train_bpe("low low lower", 259),
            [(75, 78), (256, 86), (220, 257)],
            "train_bpe('low low lower', 259)",
            "l o comes three times, as o w does, and has smaller ids; then lo w, three times; then the space with low.",
            "Print counts and the chosen pair at each step, and compare with a count on paper.",
        ),
        p.by_hand(
            "ties",
            lambda parts: parts.train_bpe("zy ab", 257),
            [(64, 65)],
            "train_bpe('zy ab', 257)",
            "All three pairs come once; the smaller pair of ids wins, so everybody learns the same from the same text.",
            "Sort by two things: the count from high to low, and the pair from low to high.",
        ),
        p.by_hand(
            "specials_cut",
            lambda parts: parts.train_bpe("ab<end>ab<end>", 300, ("<end>",)),
            [(64, 65)],
            "train_bpe('ab<end>ab<end>', 300, ('<end>',))",
            "A special is one token from the beginning. What it is spelt with is no text to learn from.",
            "Split the text at the specials before it is cut into pieces, and leave them out.",
        ),
        p.holds(
            "size",
            full,
            "The bytes, your merges and the specials are not vocab_size tokens together.",
            "The model will have exactly vocab_size rows of weights.",
            "256 bytes + merges + specials = vocab_size. How many merges is that?",
            case="specials",
        ),
        p.cost(
            "time",
            lambda parts, n: parts.train_bpe("ab" * n, 260),
            (250, 500, 1000),
            1.5,
            "A corpus is a million times as long as this.",
            "Look at merge: does it begin at the front again after each replacement?",
        ),
    ),
)
