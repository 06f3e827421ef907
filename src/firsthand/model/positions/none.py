"""No position at all: the causal mask alone tells order (NoPE, arXiv 2305.19466)."""

from firsthand.model import Position


class NoPosition(Position):
    """The identity in every way."""

    blind = True

    def __init__(self) -> None:
        super().__init__()
