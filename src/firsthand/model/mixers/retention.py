"""Retention: linear attention whose heads forget at fixed speeds, and a gate in the place of a normaliser."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from firsthand.model import Position
from firsthand.model.mixers.heads import head_sizes, merge_heads, split_heads
from firsthand.model.mixers.segments import segments
from firsthand.model.side_by_side import side_by_side
from firsthand.ops.linear_attention import linear_attention
from firsthand.ops.state import fresh_state
from firsthand.types import Place


@dataclass
class RetentionState:
    """What a row remembers, whatever its length."""

    memory: Float[Tensor, "batch heads d_key d_value"]
    document: Int[Tensor, " batch"] | None = None


class Retention(nn.Module):
    """S_t = γ S_{t-1} + k_t v_tᵀ and o_t = S_tᵀ q_t / √d_head, then a norm for each head and a gate (RetNet, arXiv
    2307.08621, eq. 6 and 8).

    Head h keeps γ = 1 - 2^(-5 - h) of its memory from one token to the next. The position scheme turns queries and
    keys: with `position=rope` these are the paper's (eq. 3 and 5). The norm is a layer norm without parameters (the
    group norm of the paper, a group a head). Values are `expand` times as wide as queries and keys; the paper has 2.
    """

    readers = ("query", "key", "value", "gate")

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        n_kv_heads: int | None = None,
        d_head: int | None = None,
        position: Position | None = None,
        bias: bool = False,
        dropout: float = 0.0,
        expand: int = 2,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.n_heads, self.n_kv_heads, self.d_head = head_sizes(d_model, n_heads, n_kv_heads, d_head)
        self.d_value, self.eps = expand * self.d_head, eps
        self.position = position if position is not None else Position()
        self.query = nn.Linear(d_model, self.n_heads * self.d_head, bias=bias)
        self.key = nn.Linear(d_model, self.n_kv_heads * self.d_head, bias=bias)
        self.value = nn.Linear(d_model, self.n_kv_heads * self.d_value, bias=bias)
        self.gate = nn.Linear(d_model, self.n_heads * self.d_value, bias=bias)
        self.out = nn.Linear(self.n_heads * self.d_value, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def initial_state(self, batch: int, length: int) -> RetentionState:
        return RetentionState(fresh_state(self.key.weight, batch, self.n_heads, self.d_head, self.d_value))

    def state_size(self, length: int) -> int:
        return self.n_heads * self.d_head * self.d_value

    def mixing_flops(self, context_length: int) -> float:
        """Forward operations a token beside the weight matrices: fading the memory, writing to it and reading it."""
        return 5.0 * self.n_heads * self.d_head * self.d_value

    def forward(
        self, x: Float[Tensor, "batch time d_model"], place: Place, state: RetentionState | None = None
    ) -> tuple[Float[Tensor, "batch time d_model"], RetentionState | None]:
        memory, document = (None, None) if state is None else (state.memory, state.document)
        segment, document = segments(place, document)
        query, key, value, gate = side_by_side(self, x)
        query = self.position.rotate(split_heads(query, self.n_heads), place.index)
        key = self.position.rotate(split_heads(key, self.n_kv_heads), place.index) * self.d_head**-0.5
        value = split_heads(value, self.n_kv_heads)
        decay = log_decay(self.n_heads, x.device)[None, :, None].expand(len(x), -1, x.shape[1])
        out, memory = linear_attention(query, key, value, decay, memory, segment)
        y = merge_heads(F.layer_norm(out, out.shape[-1:], eps=self.eps)) * F.silu(gate)
        return self.dropout(self.out(y)), None if state is None else RetentionState(memory, document)


def log_decay(n_heads: int, device: torch.device | str | None = None) -> Float[Tensor, " heads"]:
    """The logarithm of γ = 1 - 2^(-5 - h) for each head (eq. 8)."""
    return torch.log1p(-torch.exp2(-5.0 - torch.arange(n_heads, device=device)))
