"""Causal self-attention: every token looks up what earlier tokens offer."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from firsthand.model import Position
from firsthand.model.mixers.heads import head_norm, head_sizes, merge_heads, split_heads
from firsthand.model.mixers.kv_cache import KVCache, same_document
from firsthand.ops.attention import attention
from firsthand.types import Place


class CausalSelfAttention(nn.Module):
    """Multi-head ("Attention is all you need", 3.2.2), grouped (arXiv 2305.13245) or multi-query attention.

    `n_kv_heads` key/value heads are shared by equal groups of query heads. `qk_norm` sets queries and keys to unit
    mean square before the rotation (arXiv 2010.04245), or with "gain" to a learned size for each channel, which all
    heads share (Qwen3); `softcap` squeezes the scores. `dropout` acts on the output;
    `attention_dropout` lets it act on the attention weights too, as GPT-2 does (and rules out flash kernels).
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        n_kv_heads: int | None = None,
        d_head: int | None = None,
        position: Position | None = None,
        bias: bool = False,
        dropout: float = 0.0,
        attention_dropout: bool = False,
        qk_norm: bool | str = False,
        qk_norm_eps: float = 1e-5,
        softcap: float | None = None,
    ) -> None:
        super().__init__()
        self.n_heads, self.n_kv_heads, self.d_head = head_sizes(d_model, n_heads, n_kv_heads, d_head)
        self.position = position if position is not None else Position()
        self.query = nn.Linear(d_model, n_heads * self.d_head, bias=bias)
        self.key = nn.Linear(d_model, self.n_kv_heads * self.d_head, bias=bias)
        self.value = nn.Linear(d_model, self.n_kv_heads * self.d_head, bias=bias)
        self.out = nn.Linear(n_heads * self.d_head, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)
        self.attention_dropout = dropout if attention_dropout else 0.0
        self.query_norm = head_norm(qk_norm, self.d_head, qk_norm_eps)
        self.key_norm = head_norm(qk_norm, self.d_head, qk_norm_eps)
        self.softcap = softcap

    def initial_state(self, batch: int, length: int) -> KVCache:
        weight = self.key.weight
        return KVCache(batch, self.n_kv_heads, length, self.d_head, weight.device, weight.dtype)

    def state_size(self, length: int) -> int:
        return 2 * self.n_kv_heads * self.d_head * length

    def mixing_flops(self, context_length: int) -> float:
        """Forward operations a token beside the weight matrices: two products with half the context on average."""
        return 2.0 * self.n_heads * self.d_head * context_length

    def forward(
        self, x: Float[Tensor, "batch time d_model"], place: Place, state: KVCache | None = None
    ) -> tuple[Float[Tensor, "batch time d_model"], KVCache | None]:
        query, key, value = self.project(x)
        query, key = self.position.rotate(query, place.index), self.position.rotate(key, place.index)
        visible: Bool[Tensor, "batch 1 query key"] | None = None
        key_index = place.index
        if state is not None:
            key, value = state.append(key, value, place)
            visible, key_index = state.visible(x.shape[1]), state.key_index
        elif place.document is not None:
            visible = same_document(place.document, place.document)
        out = attention(
            query,
            key.to(query.dtype),
            value.to(query.dtype),
            visible=visible,
            causal=True,
            bias=self.position.bias(place.index, key_index),
            softcap=self.softcap,
            dropout=self.attention_dropout if self.training else 0.0,
        )
        return self.dropout(self.out(merge_heads(out))), state

    def project(self, x: Float[Tensor, "batch time d_model"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, split into heads."""
        query = self.query_norm(split_heads(self.query(x), self.n_heads))
        key = self.key_norm(split_heads(self.key(x), self.n_kv_heads))
        return query, key, split_heads(self.value(x), self.n_kv_heads)
