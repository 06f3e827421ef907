"""Where a text is cut before its pieces become tokens: the only patterns that we run, whatever a file says.

Each is written once as Hugging Face stores it (and tiktoken runs it); beside it stands what makes it faster.
"""

from collections.abc import Iterable

from firsthand.tokens.spaced_split import WHITES, SpacedSplit
from firsthand.tokens.split import Split

WHITE = "".join(f"\\u{ord(white):04x}" for white in WHITES)
"""For a class of characters in a pattern of the standard library."""

GPT2 = SpacedSplit(
    "gpt2",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    byte_level=True,
    built_in=True,
    ascii=r"'(?:[stmd]|re|ve|ll)| ?[A-Za-z]++| ?[0-9]++| ?[^\t-\r A-Za-z0-9]++|[\t-\r ]+(?![^\t-\r ])|[\t-\r ]+",
)
CL100K = SpacedSplit(
    "cl100k",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    byte_level=True,
    ascii=r"'(?i:[stmd]|re|ve|ll)|[^\r\nA-Za-z0-9]?[A-Za-z]++|[0-9]{1,3}| ?[^\t-\r A-Za-z0-9]++[\r\n]*+"
    r"|[\t-\r ]*[\r\n]+|[\t-\r ]+(?![^\t-\r ])|[\t-\r ]+",
)
QWEN2 = SpacedSplit(
    "qwen2",
    CL100K.pattern.replace(r"\p{N}{1,3}", r"\p{N}"),
    byte_level=True,
    ascii=CL100K.ascii.replace("[0-9]{1,3}", "[0-9]"),
)
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_BEFORE, _TAIL = r"[^\r\n\p{L}\p{N}]?", r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_ASCII_BEFORE = "[^\r\nA-Za-z0-9]?"
_ASCII_TAIL = r"| ?[^\t-\r A-Za-z0-9]++[\r\n/]*+|[\t-\r ]*[\r\n]+|[\t-\r ]+(?![^\t-\r ])|[\t-\r ]+"


def _cased(name: str, ending: str, ascii_ending: str, digits: str) -> SpacedSplit:
    """Words cut where a capital follows a small letter, `ending` glued to them, so many `digits` in a piece."""
    return SpacedSplit(
        name,
        f"{_BEFORE}{_UPPER}*{_LOWER}+{ending}|{_BEFORE}{_UPPER}+{_LOWER}*{ending}|\\p{{N}}{digits}{_TAIL}",
        byte_level=True,
        ascii=f"{_ASCII_BEFORE}[A-Z]*[a-z]+{ascii_ending}|{_ASCII_BEFORE}[A-Z]+[a-z]*{ascii_ending}"
        f"|[0-9]{digits}{_ASCII_TAIL}",
    )


O200K = _cased("o200k", "(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "(?:'(?i:[stmd]|re|ve|ll))?", "{1,3}")
"""GPT-4o's and gpt-oss's."""
TEKKEN = _cased("tekken", "", "", "")
"""Mistral's since Nemo."""
SMOLLM = SpacedSplit(
    "smollm",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+",
    byte_level=True,
    ascii=r"'(?:[stmd]|re|ve|ll)| ?[A-Za-z]++|[0-9]| ?[^\t-\r A-Za-z0-9]++|[\t-\r ]+(?![^\t-\r 0-9])|[\t-\r ]+",
    digits_first=True,
)
"""Hugging Face's two steps in one pattern: every digit apart, then GPT-2's pattern in what lies between them."""
_WORD_CHUNKS = f" ?[^{WHITE}]++|[{WHITE}]++"
WORDS = Split("words", r"[\p{L}\p{M}\p{N}_]+|\s+|[^\s\p{L}\p{M}\p{N}_]+", _WORD_CHUNKS)
# at most 64 characters a word and one a mark, so that no word is unknown for its length alone
WORDPIECE = Split("wordpiece", r"[\p{L}\p{M}\p{N}_]{1,64}|\s{1,64}|[^\s\p{L}\p{M}\p{N}_]", _WORD_CHUNKS)
CHARACTERS = Split("characters", r"[\s\S]", r"[\s\S]")
WHOLE = Split("whole", r"[\s\S]+", r"[\s\S]{1,65536}", byte_level=True, built_in=False)

_SPACED = r"[ \u2581]+[^ \u2581\n]*|[^ \u2581\n]+|\n+"
SPACES = Split("spaces", _SPACED, _SPACED)
"""A word with the spaces before it, or line ends: for SentencePiece, to whose tokenizers \u2581 is a space."""
SENTENCES = Split("sentences", r"[\s\S]+", r"[\s\S]+")
"""No cut at all."""


def split_of(tree: object, known: Iterable[Split]) -> Split | None:
    """Which of the `known` splits `tree`, a file's pre_tokenizer, is; None if it is another."""
    wanted = _plain(tree)
    return next((split for split in known if _plain(split.to_json()) == wanted), None)


def _plain(tree: object) -> object:
    """Without trim_offsets, which moves offsets and never ids, and with what older files leave out."""
    if isinstance(tree, dict):
        usual = {"ByteLevel": {"use_regex": True}, "Split": {"invert": False}}.get(str(tree.get("type")), {})
        return {**usual, **{key: _plain(value) for key, value in tree.items() if key != "trim_offsets"}}
    return [_plain(value) for value in tree] if isinstance(tree, list) else tree
