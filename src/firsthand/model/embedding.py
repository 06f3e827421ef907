"""The embedding: a learnt vector for each token of the vocabulary."""

from jaxtyping import Float, Int
from torch import Tensor, nn


class Embedding(nn.Embedding):
    """Row i of `weight` (vocab_size, d_model) is the vector of token i. A new one is drawn from the standard normal."""

    def __init__(self, vocab_size: int, d_model: int) -> None:
        super().__init__(vocab_size, d_model)
        self.vocab_size, self.d_model = vocab_size, d_model

    def forward(self, ids: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch d_model"]:
        return nn.functional.embedding(ids, self.weight)
