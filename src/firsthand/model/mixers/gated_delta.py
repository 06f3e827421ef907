"""Gated DeltaNet: the memory of DeltaNet, which can also be emptied."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from firsthand.errors import UserError
from firsthand.model.mixers.delta_memory import DeltaMemory, DeltaMixer, DeltaState
from firsthand.model.mixers.heads import head_sizes
from firsthand.model.mixers.mamba import time_bias
from firsthand.model.side_by_side import side_by_side
from firsthand.types import Place


class GatedDeltaNet(DeltaMixer):
    """The gated delta rule (arXiv 2412.06464, section 3), in the form of the Qwen3-Next models.

    To `delta` it adds a decay of each head's memory, chosen by the token as in Mamba-2, and a gate on what is read:

        S ← exp(-exp(log_decay) · softplus(decay(x) + time_bias)) S, then as in `delta`
        out = norm(Sᵀq) · SiLU(gate(x))

    `n_heads` are the heads of values, each with its memory, beta and decay. Queries and keys have `n_key_heads`
    (n_heads unless given), and equal groups of value heads share one (Qwen3-Next: 16 and 32). The other arguments are
    those of `delta`.
    """

    readers = ("query", "key", "value", "gate", "beta", "decay")

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        n_key_heads: int | None = None,
        d_head: int | None = None,
        d_value: int | None = None,
        d_conv: int = 4,
        negative_eigenvalues: bool = False,
        bias: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        n_key_heads = n_key_heads or n_heads
        if n_heads % n_key_heads:
            raise UserError(f"n_heads = {n_heads} is not a multiple of n_key_heads = {n_key_heads}. Change either.")
        _, _, d_head = head_sizes(d_model, n_heads, None, d_head)
        d_value = d_value or d_head
        self.query = nn.Linear(d_model, n_key_heads * d_head, bias=bias)
        self.key = nn.Linear(d_model, n_key_heads * d_head, bias=bias)
        self.value = nn.Linear(d_model, n_heads * d_value, bias=bias)
        self.gate = nn.Linear(d_model, n_heads * d_value, bias=bias)
        self.beta = nn.Linear(d_model, n_heads, bias=bias)
        self.decay = nn.Linear(d_model, n_heads, bias=False)
        self.log_decay = nn.Parameter(torch.empty(n_heads).uniform_(1, 16).log())
        self.time_bias = nn.Parameter(time_bias(n_heads))
        self.memory = DeltaMemory(n_heads, n_key_heads, d_head, d_value, d_conv, negative_eigenvalues)
        self.out = nn.Linear(n_heads * d_value, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch time d_model"], place: Place, state: DeltaState | None = None
    ) -> tuple[Float[Tensor, "batch time d_model"], DeltaState | None]:
        query, key, value, gate, beta, decay = side_by_side(self, x)
        features = torch.cat((query, key, value), dim=-1)
        read, state = self.memory(features, beta, self.kept(decay), place, state)
        return self.dropout(self.out(read * F.silu(gate))), state

    def kept(self, decay: Float[Tensor, "batch time heads"]) -> Float[Tensor, "batch time heads"]:
        """The logarithm of what each memory keeps at each token, in fp32 at least: many of them are added up."""
        exact = torch.promote_types(decay.dtype, torch.float32)
        pace = F.softplus(decay.to(exact) + self.time_bias.to(exact))
        return -self.log_decay.to(exact).exp() * pace
