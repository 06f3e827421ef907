"""Attention without the softmax: what earlier tokens offer is summed into one matrix that each token reads."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from firsthand.errors import UserError, suggest
from firsthand.model import Position
from firsthand.model.mixers.feature_maps import FEATURE_MAPS, identity, taylor
from firsthand.model.mixers.heads import head_sizes, merge_heads, split_heads
from firsthand.model.mixers.segments import segments
from firsthand.model.side_by_side import side_by_side
from firsthand.ops.linear_attention import linear_attention
from firsthand.ops.state import fresh_state
from firsthand.types import Place


@dataclass
class LinearAttentionState:
    """What a row remembers, whatever its length: the sum of φ(k) vᵀ, and the sum of φ(k) if one divides by it."""

    memory: Float[Tensor, "batch heads d_key d_value"]
    total: Float[Tensor, "batch heads d_key 1"] | None
    document: Int[Tensor, " batch"] | None = None


def normalized_linear_attention(
    query: Float[Tensor, "batch heads time d_key"],
    key: Float[Tensor, "batch key_heads time d_key"],
    value: Float[Tensor, "batch key_heads time d_value"],
    memory: Float[Tensor, "batch heads d_key d_value"] | None = None,
    total: Float[Tensor, "batch heads d_key 1"] | None = None,
    eps: float = 1e-6,
    segment: Int[Tensor, "batch time"] | None = None,
    plain: tuple[Float[Tensor, "batch heads time d_key"], Float[Tensor, "batch key_heads time d_key"]] | None = None,
) -> tuple[
    Float[Tensor, "batch heads time d_value"],
    Float[Tensor, "batch heads d_key d_value"],
    Float[Tensor, "batch heads d_key 1"],
]:
    """out_i = Σ_j q_i·k_j v_j / (Σ_j q_i·k_j + eps), j <= i, and what is remembered: Σ k_j v_jᵀ and Σ k_j.

    Queries and keys have been through the feature map. `memory` and `total`: the two sums over earlier tokens (None:
    zeros); they are consumed. `segment` counts the document borders in each row, as in `ops.linear_attention`.
    `plain`: queries and keys below the fraction line, if they are others than above it.
    """
    out, memory = linear_attention(query, key, value, None, memory, segment)
    plain_query, plain_key = (query, key) if plain is None else plain
    ones = torch.ones_like(value[:, :1, :, :1])
    weight, total = linear_attention(plain_query, plain_key, ones, None, total, segment)
    return out / (weight + eps), memory, total


class LinearAttention(nn.Module):
    """out_i = Σ_j φ(q_i)·φ(k_j) v_j / Σ_j φ(q_i)·φ(k_j), j <= i (arXiv 2006.16236, eq. 8 and 9).

    `feature_map` is φ, one of FEATURE_MAPS. The position scheme turns the products above the fraction line only, so
    that what one divides by stays positive (RoFormer, arXiv 2104.09864, eq. 19); "taylor", which looks at q · k alone
    and is positive whatever that is, sees queries and keys that are turned already. `normalize`: whether to divide;
    by default all but "identity" do. `n_kv_heads` heads of keys and values are shared by equal groups of query heads.
    """

    readers = ("query", "key", "value")

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        n_kv_heads: int | None = None,
        d_head: int | None = None,
        position: Position | None = None,
        bias: bool = False,
        dropout: float = 0.0,
        feature_map: str = "elu",
        normalize: bool | None = None,
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.n_heads, self.n_kv_heads, self.d_head = head_sizes(d_model, n_heads, n_kv_heads, d_head)
        if feature_map not in FEATURE_MAPS:
            raise UserError(
                f"linear_attention: there is no feature_map {feature_map!r}. {suggest(feature_map, FEATURE_MAPS)}"
            )
        self.features = FEATURE_MAPS[feature_map]
        self.normalize = self.features is not identity if normalize is None else normalize
        if self.normalize and self.features is identity:
            raise UserError("linear_attention: identity has negative products to divide by. Set normalize=false.")
        self.eps = eps
        self.position = position if position is not None else Position()
        self.query = nn.Linear(d_model, self.n_heads * self.d_head, bias=bias)
        self.key = nn.Linear(d_model, self.n_kv_heads * self.d_head, bias=bias)
        self.value = nn.Linear(d_model, self.n_kv_heads * self.d_head, bias=bias)
        self.out = nn.Linear(self.n_heads * self.d_head, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    @property
    def d_key(self) -> int:
        """Channels of φ."""
        return self.features(torch.zeros(self.d_head)).shape[-1]

    def initial_state(self, batch: int, length: int) -> LinearAttentionState:
        memory = fresh_state(self.key.weight, batch, self.n_heads, self.d_key, self.d_head)
        return LinearAttentionState(memory, torch.zeros_like(memory[..., :1]) if self.normalize else None)

    def state_size(self, length: int) -> int:
        return self.n_heads * self.d_key * (self.d_head + self.normalize)

    def mixing_flops(self, context_length: int) -> float:
        """Forward operations a token beside the weight matrices: writing to the memory and reading from it."""
        return 4.0 * self.n_heads * self.d_key * (self.d_head + self.normalize)

    def forward(
        self, x: Float[Tensor, "batch time d_model"], place: Place, state: LinearAttentionState | None = None
    ) -> tuple[Float[Tensor, "batch time d_model"], LinearAttentionState | None]:
        memory, total, document = (None, None, None) if state is None else (state.memory, state.total, state.document)
        segment, document = segments(place, document)
        query, key, value = side_by_side(self, x)
        query, plain_query = self.mapped(split_heads(query, self.n_heads), place)
        key, plain_key = self.mapped(split_heads(key, self.n_kv_heads), place)
        value = split_heads(value, self.n_kv_heads)
        if self.normalize:
            out, memory, total = normalized_linear_attention(
                query, key, value, memory, total, self.eps, segment, (plain_query, plain_key)
            )
        else:
            out, memory = linear_attention(query, key, value, None, memory, segment)
        after = None if state is None else LinearAttentionState(memory, total, document)
        return self.dropout(self.out(merge_heads(out))), after

    def mapped(
        self, heads: Float[Tensor, "batch heads time d_head"], place: Place
    ) -> tuple[Float[Tensor, "batch heads time d_key"], Float[Tensor, "batch heads time d_key"]]:
        """φ, turned by the position scheme and as it is."""
        if self.features is taylor:
            turned = taylor(self.position.rotate(heads, place.index))
            return turned, turned
        plain = self.features(heads)
        return self.position.rotate(plain, place.index), plain
