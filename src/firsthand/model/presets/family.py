"""What a preset consists of: how a family of models is made, and the sizes it comes in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Size:
    """The sizes of one model: fields of a ModelNode.

    Of a published model also its name, the rows of its embedding (padded ones too: that is how its weights are) and
    the number of its parameters, tied ones counted once.
    """

    fields: dict[str, Any]
    published: str | None = None
    vocab_size: int | None = None
    parameters: int | None = None


def four_times(d_model: int) -> int:
    """d_ff of a plain FFN ("Attention is all you need", section 3.3)."""
    return 4 * d_model


def eight_thirds(d_model: int) -> int:
    """d_ff of a gated FFN: with it three matrices have the weights of a plain FFN's two (arXiv 2002.05202, section 2).

    Rounded up to whole blocks of 64.
    """
    return -(-8 * d_model // (3 * 64)) * 64


@dataclass(frozen=True)
class Family:
    """`fields`: what all sizes share, and the size of a recipe that names none.

    `width`: d_model for each layer where n_layers alone is given (see dial.py). `group`: so many query heads share a
    key/value head where the recipe does not say (if their number allows it). `d_ff`: from d_model.
    """

    fields: dict[str, Any]
    sizes: dict[str, Size]
    width: int = 64
    group: int = 1
    d_ff: Callable[[int], int] = four_times


def published(name: str, vocab_size: int, parameters: int, **fields: Any) -> Size:
    """A size that the world knows as `name`."""
    return Size(fields, name, vocab_size, parameters)


def laptop(layers: tuple[int, int, int] = (2, 4, 6), width: int = 64) -> dict[str, Size]:
    """Sizes that train on a laptop's CPU: in seconds, minutes, an evening. Depth and width as the dial sets them."""
    return {
        name: Size({"n_layers": n_layers, "d_model": width * n_layers, "context_length": context_length})
        for name, n_layers, context_length in zip(("nano", "micro", "small"), layers, (128, 256, 256), strict=True)
    }
