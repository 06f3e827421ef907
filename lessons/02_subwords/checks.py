"""Subwords: pairs counted and merged, merges applied, words cut by the longest match."""

from collections import Counter

import torch

from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks
from firsthand.tokens.file import BYTES
from firsthand.tokens.learner import Learner
from firsthand.tokens.splits import GPT2

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


def learnt(text: str, limit: int) -> list[tuple[int, int]]:
    counts = Counter(piece.encode().translate(IDS) for piece in GPT2.pieces(text))
    return Learner(counts).learn(limit)


# 256 bc, 257 ab, 258 abc, 259 dd, 260 ddd, 261 cd, 262 c and a space, which no piece holds, 263 abab, 264 ef, 265 gf,
# 266 fe, 267 ge
HAND = [
    (65, 66),
    (64, 65),
    (64, 256),
    (67, 67),
    (259, 67),
    (66, 67),
    (66, 220),
    (257, 257),
    (68, 69),
    (70, 69),
    (69, 68),
]
HAND += [(70, 68)]
LEARNT = learnt(FABLE + "日本日本 🙂🙂", 60)


def apply(text: str, merges=LEARNT, specials: tuple[str, ...] = (), ids: tuple[int, ...] = ()):
    return lambda draw: {"text": text, "merges": merges, "specials": specials, "ids": [*ids]}


def encode(parts, text, merges, specials, ids):
    found = parts.bpe_encode(text, merges, specials)
    return list(found), parts.bpe_decode(found, merges, specials), parts.bpe_decode(ids, merges, specials)


def there_and_back(parts, text: str) -> str:
    return parts.bpe_decode(parts.bpe_encode(text, LEARNT), LEARNT)


ENCODE = Checks(
    call=encode,
    cases={
        "usual": apply("The sourest foxes hang the naïve grapes; then they said nooo!\n", ids=(300, 310, 290, 40)),
        "by hand": apply(
            "abc abcd ababab ddd dddd abcabc cd abdd fefef efgf gfe gfefe cdd cddd cdcdd",
            HAND,
            ids=(258, 263, 220, 260),
        ),
        "specials": apply("<e>the fox<e><end>sees <e", specials=("<e>", "<end>"), ids=(316, 60, 317)),
        "specials of marks": apply("the fox<|e|>sees e .b, ab|<|e|>!", specials=("<|e|>", ".b"), ids=(316, 60, 317)),
        "none of the specials": apply(" the fox", specials=("<e>",), ids=(316, 60)),
        "other scripts": apply("日本 né 🙂 да 🙂🙂", ids=(127, 102)),
        "half a character": apply("é", ids=(127, 64, 102, 170, 127)),
        "single letters": apply("a b c 1 ,", HAND),
        "white space": apply("\n\n  fox\t the  \n"),
        "no merges": apply("the fox", []),
        "no text": apply(""),
    },
    edges=("no text",),
    properties=(
        p.by_hand(
            "bytes",
            lambda parts: list(parts.bpe_encode("a é", [])),
            [64, 220, 127, 102],
            "bpe_encode('a é', [])",
            "Without merges every byte is a token; é is two of them.",
            "piece.encode() gives bytes; .translate(ALPHABET) gives their ids.",
        ),
        p.by_hand(
            "first_learnt_first",
            lambda parts: list(parts.bpe_encode("abc", HAND[:3])),
            [258],
            "With the merges b c, a b, a bc: bpe_encode('abc', ...)",
            "b c was learnt first, so it comes first; then a bc can follow. Merging a b first would end the way there.",
            "At each step list the pairs that are in `merges`, with their places in it, and take the lowest.",
        ),
        p.by_hand(
            "until_none",
            lambda parts: list(parts.bpe_encode("dddd", HAND)),
            [259, 259],
            "With d d and dd d among the merges: bpe_encode('dddd', ...)",
            "The pair is merged from left to right, wherever it stands: dd dd.",
            "Print the ids after each merge.",
        ),
        p.by_hand(
            "borders",
            lambda parts: list(parts.bpe_encode("c c", [(66, 220)])),
            [66, 220, 66],
            "With a merge of c and a space: bpe_encode('c c', ...)",
            "A space belongs to the word after it. In training no pair crossed a border, and here none may either.",
            "GPT2.pieces(text) first; then each piece for itself.",
        ),
        p.by_hand(
            "specials_whole",
            lambda parts: list(parts.bpe_encode("a<e>a", [(64, 65)], ("<s>", "<e>"))),
            [64, 258, 64],
            "With one merge and the specials <s> and <e>: bpe_encode('a<e>a', ...)",
            "256 bytes and one merge come first, so <s> is 257 and <e> is 258, each of them one token.",
            "re.split with brackets around the pattern keeps what it splits at.",
        ),
        p.by_hand(
            "bytes_before_text",
            lambda parts: parts.bpe_decode([127, 102], []),
            "é",
            "bpe_decode([127, 102], [])",
            "A character may be spread over several tokens; each alone is no text.",
            "Join the bytes of all tokens, then decode once.",
        ),
        p.by_hand(
            "half_a_character",
            lambda parts: parts.bpe_decode([64, 127], []),
            "a\ufffd",
            "bpe_decode([64, 127], [])",
            "A model may stop in the middle of a character, or write what is none; that must not end the program.",
            'bytes.decode(errors="replace")',
        ),
        p.round_trip(there_and_back),
    ),
)

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

CHECKS = {"bpe_train": TRAIN, "bpe_encode": ENCODE, "wordpiece": WORDPIECE}
