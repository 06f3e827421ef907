"""A model from elsewhere, in our terms."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from firsthand.errors import UserError
from firsthand.ops.quantized import Quantized
from firsthand.tokens import Tokenizer
from firsthand.tokens.chat import ChatTemplate


@dataclass(frozen=True)
class Imported:
    """`fields`: of a recipe's `model`. `vocab_size`: rows of the embedding, of which padded ones have no token.

    `weights`: by the names of our parameters, tied ones once. `chat`: None for a model that only continues texts.
    `quantized`: weights in few bits by the names of their parts; those are not among `weights`.
    """

    fields: dict[str, Any]
    vocab_size: int
    weights: dict[str, Tensor]
    tokenizer: Tokenizer
    chat: ChatTemplate | None = None
    quantized: dict[str, Quantized] = field(default_factory=dict)

    def whole(self) -> "Imported":
        """The same model with every weight in full; `quantized` still says which of them stood in few bits."""
        full = {f"{name}.weight": quantized.full() for name, quantized in self.quantized.items()}
        return replace(self, weights=self.weights | full)


def chat_or_none(template: Callable[[], ChatTemplate | None], where: str) -> ChatTemplate | None:
    """The chat template that `template` gives. One that is not supported is left out, with a line that says why."""
    try:
        return template()
    except UserError as reason:
        sys.stderr.write(f"The chat template of {where} is left out: {reason}\n")
        return None
