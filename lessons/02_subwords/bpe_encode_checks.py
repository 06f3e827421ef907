"""What must hold of bpe_encode, in teaching order."""

from collections import Counter
from pathlib import Path

from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, module
from firsthand.tokens.learner import Learner
from firsthand.tokens.splits import GPT2

training = module(Path(__file__).with_name("bpe_train_checks.py"))


def learnt(text: str, limit: int) -> list[tuple[int, int]]:
    counts = Counter(piece.encode().translate(training.IDS) for piece in GPT2.pieces(text))
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
LEARNT = learnt(training.FABLE + "日本日本 🙂🙂", 60)


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
