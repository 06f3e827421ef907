"""Quality filters: each is a part, a factory that takes plain arguments and gives a function on documents.

A filter answers True (keep), False (drop) or the reason for dropping, which the report shows. `gopher` is the set of
rules by which Rae et al. (2021, arXiv:2112.11446, appendix A.1.1) chose web pages; the others are its pieces.
Words are what stands between blanks.
"""

from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

import regex

from firsthand.errors import UserError
from firsthand.types import Document

Filter: TypeAlias = Callable[[Document], bool | str]

_STOP_WORDS = frozenset(("the", "be", "to", "of", "and", "that", "have", "with"))
_BULLETS = ("-", "*", "•", "‣", "·", "–")
_NGRAM_SHARES = {2: 0.20, 3: 0.18, 4: 0.16}


def length(minimum: int = 1, maximum: int | None = None) -> Filter:
    """Between `minimum` and `maximum` characters."""
    return lambda document: _within(len(document.text), minimum, maximum, "{:.0f} characters")


def words(minimum: int = 50, maximum: int | None = 100_000) -> Filter:
    """Between `minimum` and `maximum` words."""
    return lambda document: _within(len(document.text.split()), minimum, maximum, "{:.0f} words")


def word_length(minimum: float = 3.0, maximum: float = 10.0) -> Filter:
    """The mean word has between `minimum` and `maximum` characters."""

    def keep(document: Document) -> bool | str:
        found = document.text.split()
        mean = sum(map(len, found)) / max(1, len(found))
        return _within(mean, minimum, maximum, "{:.1f} characters in the mean word")

    return keep


def symbols(maximum: float = 0.1) -> Filter:
    """At most `maximum` hash signs and ellipses for each word."""

    def keep(document: Document) -> bool | str:
        text = document.text
        found = text.count("#") + text.count("...") + text.count("…")
        return _within(found / max(1, len(text.split())), None, maximum, "{:.2f} symbols for each word")

    return keep


def bullets(maximum: float = 0.9) -> Filter:
    """At most this share of the lines begins with a bullet."""
    return _lines("begin with a bullet", maximum, lambda line: line.lstrip().startswith(_BULLETS))


def ellipses(maximum: float = 0.3) -> Filter:
    """At most this share of the lines ends with an ellipsis."""
    return _lines("end with an ellipsis", maximum, lambda line: line.rstrip().endswith(("...", "…")))


def letters(minimum: float = 0.8) -> Filter:
    """At least this share of the words has a letter in it."""

    def keep(document: Document) -> bool | str:
        found = document.text.split()
        share = sum(any(map(str.isalpha, word)) for word in found) / max(1, len(found))
        return _within(share, minimum, None, "{:.0%} of the words have letters")

    return keep


def stop_words(minimum: int = 2) -> Filter:
    """At least this many different ones of the commonest English words: running English text."""

    def keep(document: Document) -> bool | str:
        found = _STOP_WORDS.intersection(document.text.lower().split())
        return _within(len(found), minimum, None, "{:.0f} of the commonest English words")

    return keep


def repeated_lines(maximum: float = 0.3) -> Filter:
    """At most this share of the lines that are not empty says what an earlier line said."""

    def keep(document: Document) -> bool | str:
        found = [line.strip() for line in document.text.splitlines() if line.strip()]
        share = 1 - len(set(found)) / max(1, len(found))
        return _within(share, None, maximum, "{:.0%} of the lines repeat")

    return keep


def repeated_words(maximum: dict[int, float] | None = None) -> Filter:
    """`maximum[n]`: the largest share of the characters that the commonest run of n words may take."""
    shares = _NGRAM_SHARES if maximum is None else maximum

    def keep(document: Document) -> bool | str:
        found = document.text.split()
        characters = max(1, sum(map(len, found)))
        for n, share in shares.items():
            runs = Counter(zip(*(found[i:] for i in range(n)), strict=False))
            run, times = runs.most_common(1)[0] if runs else ((), 0)
            if times > 1 and times * sum(map(len, run)) / characters > share:
                return f"{times} times {' '.join(run)!r}"
        return True

    return keep


def script(name: str, minimum: float = 0.5) -> Filter:
    """At least this share of the letters is of the script: Latin, Cyrillic, Han, Arabic ... (Unicode's names)."""
    try:
        of_script = regex.compile(rf"\p{{Script={name}}}")
    except regex.error as error:
        raise UserError(
            f"filters: there is no script {name!r}. Unicode's names are Latin, Cyrillic, Han ..."
        ) from error
    any_letter = regex.compile(r"\p{L}")

    def keep(document: Document) -> bool | str:
        found = any_letter.findall(document.text)
        share = sum(1 for letter in found if of_script.match(letter)) / max(1, len(found))
        return _within(share, minimum, None, "{:.0%} of the letters are " + name)

    return keep


def pattern(refuse: str | None = None, require: str | None = None) -> Filter:
    """Regular expressions that must not, or must, be found in the text."""
    if refuse is None and require is None:
        raise UserError("filters: pattern needs refuse or require, a regular expression.")
    try:
        refused, required = [None if text is None else regex.compile(text) for text in (refuse, require)]
    except regex.error as error:
        raise UserError(f"filters: pattern is not a regular expression: {error}.") from error

    def keep(document: Document) -> bool | str:
        if refused and (found := refused.search(document.text)):
            return f"has {found[0][:40]!r}"
        return not required or bool(required.search(document.text)) or f"lacks {require}"

    return keep


def gopher() -> Filter:
    """All the rules of Gopher, with the limits of the paper."""
    rules = [words(), word_length(), symbols(), bullets(), ellipses(), letters(), stop_words()]
    rules += [repeated_lines(), repeated_words()]

    def keep(document: Document) -> bool | str:
        verdicts = (rule(document) for rule in rules)
        return next((verdict for verdict in verdicts if verdict is not True), True)

    return keep


FILTERS: dict[str, Callable[..., Filter]] = {
    "length": length,
    "words": words,
    "word_length": word_length,
    "symbols": symbols,
    "bullets": bullets,
    "ellipses": ellipses,
    "letters": letters,
    "stop_words": stop_words,
    "repeated_lines": repeated_lines,
    "repeated_words": repeated_words,
    "script": script,
    "pattern": pattern,
    "gopher": gopher,
}


def _within(value: float | int, minimum: float | int | None, maximum: float | int | None, words: str) -> bool | str:
    if minimum is not None and value < minimum:
        return f"{words.format(value)}, fewer than {minimum:g}"
    if maximum is not None and value > maximum:
        return f"{words.format(value)}, more than {maximum:g}"
    return True


def _lines(words: str, maximum: float, counts: Callable[[str], bool]) -> Filter:
    def keep(document: Document) -> bool | str:
        found = [line for line in document.text.splitlines() if line.strip()]
        share = sum(map(counts, found)) / max(1, len(found))
        return _within(share, None, maximum, "{:.0%} of the lines " + words)

    return keep
