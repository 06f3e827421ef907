"""Merges that somebody else's function has learnt, looked at before a tokenizer is made of them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from firsthand.errors import UserError
from firsthand.tokens.chain import Pair

Merging: TypeAlias = Callable[[str, int, Sequence[str]], Sequence[Pair]]
"""(text, vocab_size, specials) -> pairs in the order in which they are merged, pair k being the token 256 + k."""


def beginning(texts: Iterable[str], characters: int | None) -> Iterator[str]:
    """So many characters of all texts together, from the first on; None: all of them."""
    left = characters
    for text in texts:
        if left is not None and left <= 0:
            return
        yield text if left is None else text[:left]
        left = None if left is None else left - len(text)


def learnt_by(merging: Merging, texts: Iterable[str], size: int, specials: Sequence[str]) -> list[Pair]:
    """What `merging` makes of the texts, which are joined by the first of the specials, for `size` tokens.

    UserError for anything but pairs of ids that are there by then, for a pair that comes twice, and for too many.
    """
    found = merging(specials[0].join(texts), size, specials)
    name = getattr(merging, "__name__", "it")
    limit = size - 256 - len(specials)
    try:
        merges = [(int(first), int(second)) for first, second in found]
    except (TypeError, ValueError) as error:
        raise UserError(
            f"tokenizer.merges: {name} has to return a list of pairs of ids; this is none: {error}."
        ) from error
    if len(merges) > limit:
        raise UserError(
            f"tokenizer.merges: {name} returned {len(merges)} merges; {size} tokens less 256 bytes and {len(specials)} "
            f"special tokens leave room for {limit}."
        )
    known: set[Pair] = set()
    for new, pair in enumerate(merges, 256):
        if not all(0 <= id < new for id in pair):
            raise UserError(
                f"tokenizer.merges: {name} merges {pair} to the token {new}, before both of them are there."
            )
        if pair in known:
            raise UserError(f"tokenizer.merges: {name} merges {pair} twice.")
        known.add(pair)
    return merges
