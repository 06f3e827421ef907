"""Answers known beforehand: worked examples, what must be refused, and what must come back as it went in."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from firsthand.contracts.finding import Broken
from firsthand.learn.grader.checks import Parts, Property
from firsthand.learn.grader.leaves import leaves, same
from firsthand.learn.grader.subject import Raised, Sign, Subject

FEW = (
    "",
    "a",
    " ",
    "ab",
    "a b",
    "a  b",
    " a ",
    "\n",
    "a\nb",
    "é",
    "a\u0301",
    "日本",
    "🙂",
    "👩\u200d👩\u200d👧",
    "a\tb",
    "It's 3.50!",
)
"""Short texts with what goes wrong most often."""


def by_hand(name: str, run: Callable[[Parts], Any], expected: Any, example: str, why: str, todo: str) -> Property:
    """`run(parts)` gives what one works out on paper. `example`: the call as a reader would write it."""

    def test(subject: Subject) -> None:
        try:
            found = subject.within(run)
        except Raised as error:
            raise error.with_more(f"It was asked for {example.rstrip(',')}.", todo) from error.__cause__
        if found is None and expected is not None:
            ends = "A function that ends without a return gives None."
            raise Broken(f"{example} gives None.", ends, f"Does every way through it end with a return? {todo}")
        if not same(leaves(found), leaves(expected)):
            raise Broken(f"{example} gives {_short(found)}, and {_short(expected)} is right.", why, todo)

    return Property(name, test)


def refuses(
    name: str, run: Callable[[Parts], Any], kinds: tuple[type[BaseException], ...], what: str, why: str, todo: str
) -> Property:
    """`run(parts)` raises one of `kinds` (subclasses count). Raising nothing is tagged as "silent"."""

    def test(subject: Subject) -> None:
        try:
            subject.within(run)
        except Raised as error:
            if isinstance(error.__cause__, kinds):
                return
            names = " or ".join(kind.__name__ for kind in kinds)
            raise error.instead(f"A refusal is right here, and what is asked for is {names}.", todo) from error
        raise Sign(what, why, todo, "silent")

    return Property(name, test)


def round_trip(
    there_and_back: Callable[[Parts, str], str],
    texts: Iterable[str] = FEW,
    why: str = "What does not come back is lost to the model for good.",
    todo: str = "Encode and decode this text by hand, and print what is in between.",
    name: str = "round_trip",
) -> Property:
    """Every text comes back as it was. The smallest that does not, found by cutting pieces away, is what is shown."""

    def test(subject: Subject) -> None:
        def fails(text: str) -> bool:
            try:
                return bool(subject.within(lambda parts: there_and_back(parts, text)) != text)
            except Broken:
                return True

        for text in texts:
            if fails(text):
                small = shrink(text, fails)
                back = subject.within(partial(_back, there_and_back, small))
                raise Broken(f"{small!r} comes back as {back!r}.", why, todo)

    return Property(name, test)


def _back(there_and_back: Callable[[Parts, str], str], text: str, parts: Parts) -> str:
    return there_and_back(parts, text)


def shrink(text: str, fails: Callable[[str], bool]) -> str:
    """A text no piece of which can be cut away without `fails` turning False."""
    size = len(text) // 2
    while size:
        for start in range(0, len(text) - size + 1):
            shorter = text[:start] + text[start + size :]
            if fails(shorter):
                text = shorter
                break
        else:
            size //= 2
    return text


def _short(value: Any) -> str:
    text = repr(value.tolist() if hasattr(value, "tolist") else value)
    return text if len(text) <= 200 else f"{text[:190]} ..."
