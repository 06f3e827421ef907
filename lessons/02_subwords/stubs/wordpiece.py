"""WordPiece: pairs are chosen by how much likelier they are than chance, words are cut by the longest match."""

from collections.abc import Mapping


def wordpiece_score(pair: int, left: int, right: int) -> float:
    """count(pair) / (count(left) · count(right)): how often two tokens meet, for how often each of them occurs."""
    raise NotImplementedError


def wordpiece_encode(word: str, vocab: Mapping[str, int], unknown: str = "[UNK]") -> list[int]:
    """The ids of one word: the longest token that it begins with, then the longest for the rest, and so on.

    A token that continues a word is written with ## in front: "##ing". If no token fits at some place, the whole word
    is one `unknown`. The empty word has no ids.
    """
    raise NotImplementedError
