"""A word tokenizer: every different piece of text has a number."""

from collections.abc import Iterable, Mapping, Sequence


def build_vocab(tokens: Iterable[str], specials: Sequence[str] = ("<unk>", "<|endoftext|>")) -> dict[str, int]:
    """An id for each different token: the most frequent gets 0, equal counts go in the order of the alphabet (of code
    points, as sorted() has it). The specials come last, in their order, even where `tokens` holds their names.
    """
    raise NotImplementedError


class WordTokenizer:
    """Cuts a text into words, runs of white space and runs of anything else, and looks each up in `vocab`.

    A word is a run of letters, digits and underscores. "Hi  you!?" is Hi, two spaces, you, and !? as one piece.
    """

    def __init__(self, vocab: Mapping[str, int]) -> None:
        raise NotImplementedError

    def encode(self, text: str) -> list[int]:
        """The ids of `text`; a piece that is not in the vocabulary gets the id of <unk>. Text never gives a special
        id by its name: "<|endoftext|>" in a text is three pieces.
        """
        raise NotImplementedError

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`: all pieces as they were; <unk> and other specials by their names."""
        raise NotImplementedError
