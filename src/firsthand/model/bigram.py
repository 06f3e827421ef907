"""The smallest language model: one table, from a token to the logits of the next."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from firsthand.model.embedding import Embedding


class Bigram(nn.Module):
    """Row i of the table holds the logits of what follows token i; it starts as if all tokens were equally likely.

    Trained to the end it is the table of conditional shares, which counting pairs gives at once (Shannon 1948, A
    mathematical theory of communication, section 3: the second-order approximation).
    """

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.embedding = Embedding(vocab_size, vocab_size)
        nn.init.zeros_(self.embedding.weight)

    def forward(self, ids: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time vocab"]:
        """Logits over the token after each."""
        logits: Tensor = self.embedding(ids)
        return logits
