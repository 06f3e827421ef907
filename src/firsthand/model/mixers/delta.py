"""DeltaNet: a matrix is the memory, and each token corrects what it holds under one key."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from firsthand.model.mixers.delta_memory import DeltaMemory, DeltaMixer, DeltaState
from firsthand.model.mixers.heads import head_sizes
from firsthand.model.side_by_side import side_by_side
from firsthand.types import Place


class DeltaNet(DeltaMixer):
    """A linear transformer with the delta rule (arXiv 2406.06484, sections 2.2 and 3.4).

    Each head keeps a matrix S from keys to values. A token asks what S holds under its key k and writes the share beta
    of what is missing to its value v (all of it, and S holds v there); then it reads under its query q:

        S ← S + beta k (v - Sᵀk)ᵀ,    out = norm(Sᵀq)

    Queries, keys and values go through a causal convolution of `d_conv` tokens and SiLU; then queries and keys get unit
    length. beta = sigmoid(W x), twice that with `negative_eigenvalues`: what counting modulo 2 needs (arXiv
    2411.12537). Nothing decays; for that there is `gated_delta`. `d_value` is d_head unless given.
    """

    readers = ("query", "key", "value", "beta")

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        d_head: int | None = None,
        d_value: int | None = None,
        d_conv: int = 4,
        negative_eigenvalues: bool = False,
        bias: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _, _, d_head = head_sizes(d_model, n_heads, None, d_head)
        d_value = d_value or d_head
        self.query = nn.Linear(d_model, n_heads * d_head, bias=bias)
        self.key = nn.Linear(d_model, n_heads * d_head, bias=bias)
        self.value = nn.Linear(d_model, n_heads * d_value, bias=bias)
        self.beta = nn.Linear(d_model, n_heads, bias=bias)
        self.memory = DeltaMemory(n_heads, n_heads, d_head, d_value, d_conv, negative_eigenvalues)
        self.out = nn.Linear(n_heads * d_value, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch time d_model"], place: Place, state: DeltaState | None = None
    ) -> tuple[Float[Tensor, "batch time d_model"], DeltaState | None]:
        query, key, value, beta = side_by_side(self, x)
        read, state = self.memory(torch.cat((query, key, value), dim=-1), beta, None, place, state)
        return self.dropout(self.out(read)), state
