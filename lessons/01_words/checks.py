"""One spelling for one text, and a vocabulary of words: what must hold, in teaching order."""

import re

from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Inputs

FAMILY = "👩\u200d👩\u200d👧"
PERSIAN = "می\u200cخواهم"
TIDY = (
    "To be, or not to be.",
    "é",
    "ÉTUDE, Naïve",
    "\tif x:\n\t\treturn 1",
    "two  spaces",
    " ends \n",
    "½ and ﬁve",
    "日本",
    "🙂",
    FAMILY,
    PERSIAN,
    "a\n\n\n\nb",
)
"""What normalize has nothing to do with."""


def text(given: str):
    return lambda draw: {"text": given}


NORMALIZE = Checks(
    call=lambda parts, text: parts.normalize(text),
    cases={
        "usual": text(
            f"\ufeffCafe\u0301 in  PARIS,\r\n\tan E\u0301tude\x00 of ½ ﬁnger\u2028{FAMILY} nai\u0308ve\u200b\r\n"
        ),
        "line ends": text("a\r\nb\rc\nd\x0ce\x0bf\x85g\u2028h\u2029i\r\n\r\nj\n\rk"),
        "controls": text("a\x00b\x1b[1mc\x7fd\x9fe\x01\u200b\xad\u200e\u200f\ufefff"),
        "joiners": text(f"{FAMILY} {PERSIAN}"),
        "accents": text("e\u0301 E\u0301 u\u0308 c\u0327 \u212b q\u0301"),
        "look-alikes": text("ﬁ ² ½ ① Ａ ™ … \xa0"),
        "code": text("\tif  x:\n\t\treturn 1   \n\n\n"),
        "ends": text("  both ends \n"),
        "an accent behind an invisible mark": text("e\u200b\u0301 e\x00\u0301"),
        "capitals": text("To BE, Or Not"),
        "separators": text("a\x1cb\x1dc\x1ed"),
        "nothing": text(""),
    },
    edges=("an accent behind an invisible mark",),
    properties=(
        p.by_hand(
            "line_ends",
            lambda parts: parts.normalize("a\r\nb\rc"),
            "a\nb\nc",
            r"normalize('a\r\nb\rc')",
            "Windows ends a line with two characters, old Macintoshes with the first of them. A reader sees one end.",
            r"Replace the pair before the single ones, and before control characters go: \r is one of them.",
        ),
        p.by_hand(
            "line_separators",
            lambda parts: parts.normalize("a\x0cb\x0bc\x85d\u2028e\u2029f"),
            "a\nb\nc\nd\ne\nf",
            r"normalize('a\x0cb\x0bc\x85d\u2028e\u2029f')",
            "A form feed ends a line too; if it only went, two words would become one.",
            "Turn all seven line ends of the docstring into newlines first, then look for control characters.",
        ),
        p.by_hand(
            "other_separators",
            lambda parts: parts.normalize("a\x1cb\x1dc\x1ed"),
            "abcd",
            r"normalize('a\x1cb\x1dc\x1ed')",
            "These are separators of files, groups and records in old formats: control characters, and no line ends.",
            "str.splitlines cuts at them too. Replace the seven line ends of the docstring, and no others.",
        ),
        p.by_hand(
            "accents",
            lambda parts: parts.normalize("cafe\u0301"),
            "café",
            r"normalize('cafe\u0301')",
            "The two spellings look the same, and a tokenizer would give them different ids.",
            "unicodedata.normalize has four forms; you want the one that composes, and changes no meaning.",
        ),
        p.by_hand(
            "invisible",
            lambda parts: parts.normalize("\ufeffa\x00b\x1bc\x7f\u200bd\xad"),
            "abcd",
            r"normalize('\ufeffa\x00b\x1bc\x7f\u200bd\xad')",
            "Nobody sees these characters, and each of them would cut a word in two.",
            "Keep a character if its category is not Cc, or it is a tab or a newline; and if it is not in INVISIBLE.",
        ),
        p.round_trip(
            lambda parts, text: parts.normalize(text),
            TIDY,
            "It was tidy already. What cleaning takes away here, no model can ever read or write.",
            "Find the step that touches this text; it does more than the three steps of the docstring.",
            name="tidy_stays",
        ),
        p.parity(
            "twice",
            lambda parts, text: parts.normalize(text),
            lambda parts, text: parts.normalize(parts.normalize(text)),
            "normalize(text) and normalize(normalize(text))",
            "What is clean must stay as it is when it is cleaned once more.",
            "In which order do your steps run? Removing a character may bring a letter and its accent together.",
            case="an accent behind an invisible mark",
        ),
    ),
)


SPELT = (
    "a",
    " ",
    "a b",
    "a  b",
    " a ",
    "\n",
    "a\nb",
    "é",
    "日本",
    "🙂",
    FAMILY,
    "a\tb",
    "It's 3.50!",
    "Hi,\n\n\tyou_2 !?",
)
"""What words must give back."""


def pieces(text: str) -> list[str]:
    return re.findall(r"\w+|\s+|[^\w\s]+", text)


FABLE = "the fox and the grapes: the fox saw the grapes,\nand the grapes hung high. Sour, said the fox!  Sour grapes!"


def words(text: str, learnt: str = FABLE, extra: tuple[str, ...] = ()):
    return lambda draw: {"tokens": [*pieces(learnt), *extra], "text": text}


def use(parts, tokens, text):
    vocab = parts.build_vocab(tokens)
    tokenizer = parts.WordTokenizer(vocab)
    ids = tokenizer.encode(text)
    return vocab, ids, tokenizer.decode(ids)


def there_and_back(parts, text: str) -> str:
    return use(parts, pieces(text), text)[2]


def encoded(vocab: dict[str, int], text: str):
    return lambda parts: list(parts.WordTokenizer(vocab).encode(text))


def numbered(given: Inputs, out) -> bool:
    return sorted(out[0].values()) == list(range(len(out[0])))


HANDY = {
    "a": 0,
    " ": 1,
    "b": 2,
    "  ": 3,
    "!?": 4,
    ",": 5,
    "endoftext": 6,
    "<|": 7,
    "|>": 8,
    "<unk>": 9,
    "<|endoftext|>": 10,
}

WORDS = Checks(
    call=use,
    cases={
        "usual": words("the fox  saw the dog, and said: Sour!\n"),
        "all known": words("Sour grapes!  the fox said,\nand hung"),
        "unknown words": words("the wolf and the lamb?"),
        "white space": words(" the\n fox  and\n\nthe ", FABLE + " a\n b\n\nc  "),
        "punctuation": words("so: the fox, high. the, fox", "so: the fox, high. the, fox"),
        "several marks": words("high!? grapes!?", "high!? grapes ! ?"),
        "emoji": words("🙂🙂 fox 👩\u200d👩\u200d👧", "🙂🙂 fox 🙂 👩\u200d👩\u200d👧"),
        "capitals": words("Sour sour THE the", "Sour sour the"),
        "accents": words("naïve café, naïveté é", "naïve café, naïve é na ve ï caf"),
        "numbers and underscores": words("snake_case 12 12.50", "snake_case 12 . 50"),
        "names of specials in the text": words("fox<|endoftext|>the <unk> <", FABLE + " < > <| |> endoftext unk <"),
        "names of specials among the tokens": words("fox the", FABLE, ("<unk>", "<unk>", "<unk>", "<|endoftext|>")),
        "equal counts": words("b a d c", "d c b a"),
        "no text": words(""),
    },
    properties=(
        p.by_hand(
            "frequent_first",
            lambda parts: parts.build_vocab(["b", "a", "c", "b", "c", "b"]),
            {"b": 0, "c": 1, "a": 2, "<unk>": 3, "<|endoftext|>": 4},
            "build_vocab(['b', 'a', 'c', 'b', 'c', 'b'])",
            "Small ids for frequent words: so a vocabulary can be cut at any length and keep what matters most.",
            "Count, sort by count from high to low, number from 0, and put the specials behind.",
        ),
        p.by_hand(
            "equal_counts",
            lambda parts: parts.build_vocab(["b", "aa", "a", "B"]),
            {"B": 0, "a": 1, "aa": 2, "b": 3, "<unk>": 4, "<|endoftext|>": 5},
            "build_vocab(['b', 'aa', 'a', 'B'])",
            "A model is of no use with another numbering, so the same words must give the same ids every time.",
            "Sort by two things at once: the count, then the word.",
        ),
        p.by_hand(
            "specials_once",
            lambda parts: parts.build_vocab(["a", "<unk>", "<unk>", "b"]),
            {"a": 0, "b": 1, "<unk>": 2, "<|endoftext|>": 3},
            "build_vocab(['a', '<unk>', '<unk>', 'b'])",
            "A special token has one id, which nothing else in the vocabulary moves or shares.",
            "Leave the names of specials out of the count.",
        ),
        p.holds(
            "ids_count_up",
            numbered,
            "The ids of your vocabulary are not 0, 1, 2 ... each once.",
            "A model has one row of numbers for each id: a gap is a row for nothing, and a shared id loses a word.",
            "Number the words after they are sorted and each stands there once; then the specials.",
        ),
        p.by_hand(
            "pieces",
            encoded(HANDY, "a  b,a b!?"),
            [0, 3, 2, 5, 0, 1, 2, 4],
            f"With {{'a': 0, ' ': 1, 'b': 2, '  ': 3, '!?': 4, ',': 5, ...}}, encode({'a  b,a b!?'!r})",
            "Words, runs of white space and runs of marks are pieces; joined they are the text.",
            "Print your pieces: nothing may be missing between them, and two spaces are one piece.",
        ),
        p.round_trip(there_and_back, SPELT),
        p.by_hand(
            "unknown",
            encoded(HANDY, "a zebra b"),
            [0, 1, 9, 1, 2],
            "With {'a': 0, ' ': 1, 'b': 2, ..., '<unk>': 9}, encode('a zebra b')",
            "New words come in every text. Each takes one place, so that what follows keeps its own.",
            "Look each piece up with a fallback: the id of <unk>, wherever in the vocabulary that is.",
        ),
        p.by_hand(
            "text_is_no_command",
            encoded(HANDY, "a<|endoftext|>"),
            [0, 7, 6, 8],
            "encode('a<|endoftext|>')",
            "Who could write <|endoftext|> in a text could tell the model where a document ends.",
            "Cut the text as if specials did not exist.",
        ),
    ),
)

CHECKS = {"normalize": NORMALIZE, "word_tokenizer": WORDS}
