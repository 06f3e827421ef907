"""Is what a model wrote the answer? Each measure compares with one right answer and gives 0 to 1."""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NUMBER = re.compile(r"(?:(?<![\w.)])[-+])?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?")  # 7-4: a minus is no sign
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def exact(answer: str, right: str) -> float:
    """The same text, but for spaces and line ends around it."""
    return float(answer.strip() == right.strip())


def normalized(answer: str, right: str) -> float:
    """The same after `normalize`."""
    return float(normalize(answer) == normalize(right))


def f1(answer: str, right: str) -> float:
    """F1 of the words of both after `normalize` (SQuAD, Rajpurkar et al. 2016, section 6.1)."""
    words, wanted = normalize(answer).split(), normalize(right).split()
    if not words or not wanted:
        return float(words == wanted)
    common = sum((Counter(words) & Counter(wanted)).values())
    return 2 * common / (len(words) + len(wanted))


def number(answer: str, right: str) -> float:
    """The same last number, as in GSM8K, whose answers end in "#### 42": behind the first such mark where there is one.

    1,000 and 1000.0 are equal; an answer without a number is wrong.
    """
    found, wanted = last_number(answer), last_number(right)
    return float(found is not None and found == wanted)


def starts(answer: str, right: str) -> float:
    """The answer begins with the right one: for models that go on talking."""
    return float(answer.strip().startswith(right.strip()))


def normalize(text: str) -> str:
    """Lower case, without punctuation and English articles, single spaces (SQuAD's rule)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def last_number(text: str) -> Decimal | None:
    """The last number of a text; of one with "####", the first behind it."""
    _, mark, behind = text.partition("####")
    numbers = _NUMBER.findall(behind if mark else text)
    if not numbers:
        return None
    try:
        return Decimal((numbers[0] if mark else numbers[-1]).replace(",", ""))
    except InvalidOperation:  # too long to be one
        return None


MEASURES: dict[str, Callable[[str, str], float]] = {
    "exact": exact,
    "normalized": normalized,
    "f1": f1,
    "number": number,
    "starts": starts,
}


def best(measure: str, answer: str, right: Sequence[str]) -> float:
    """The measure against the nearest of several right answers."""
    return max(MEASURES[measure](answer, one) for one in right)
