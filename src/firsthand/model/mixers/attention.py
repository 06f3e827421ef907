"""Causal self-attention: every token looks up what earlier tokens offer."""

from jaxtyping import Float
from torch import Tensor, nn

from firsthand.errors import UserError
from firsthand.model import Position
from firsthand.model.mixers.heads import head_norm, head_sizes, merge_heads, split_heads, turned
from firsthand.model.mixers.kv_cache import KVCache, Readable, checked_window, keys_read, slots
from firsthand.model.mixers.lookup import Lookup
from firsthand.model.mixers.quantized_cache import as_remembered, cache_of, checked_bits
from firsthand.model.side_by_side import side_by_side
from firsthand.model.value_embedding import value_embedding_of
from firsthand.types import Place


class CausalSelfAttention(nn.Module):
    """Multi-head ("Attention is all you need", 3.2.2), grouped (arXiv 2305.13245) or multi-query attention.

    `n_kv_heads` heads of keys and values are shared by equal groups of query heads. `bias` may be "qkv": for queries,
    keys and values, not for the output (Qwen 2). `qk_norm` sets queries and keys to unit mean square (arXiv
    2010.04245), with "gain" to a learned size (Qwen3). A token reads itself and `window` - 1 before it (None: all), and
    always the first `sink_tokens` of its document (arXiv 2309.17453). `dropout` acts on the output, with
    `attention_dropout` on the weights too (GPT-2). For `softcap`, `scale` and `sinks` see Lookup. Keys and values are
    remembered, and read, in `cache_bits` bits a number (None: as they are; quantized_cache.py).
    """

    readers = ("query", "key", "value")

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        n_kv_heads: int | None = None,
        d_head: int | None = None,
        position: Position | None = None,
        bias: bool | str = False,
        dropout: float = 0.0,
        attention_dropout: bool = False,
        qk_norm: bool | str = False,
        qk_norm_eps: float = 1e-5,
        window: int | None = None,
        sink_tokens: int = 0,
        sinks: bool = False,
        softcap: float | None = None,
        scale: float | None = None,
        value_embedding: bool = False,
        vocab_size: int | None = None,
        cache_bits: int | None = None,
    ) -> None:
        super().__init__()
        self.n_heads, self.n_kv_heads, self.d_head = head_sizes(d_model, n_heads, n_kv_heads, d_head)
        self.position = position if position is not None else Position()
        if not isinstance(bias, bool) and bias != "qkv":
            raise UserError(f"attention: there is no bias {bias!r}. Write true, false, or qkv for all but the output.")
        width, kv_width = n_heads * self.d_head, self.n_kv_heads * self.d_head
        self.query = nn.Linear(d_model, width, bias=bool(bias))
        self.key, self.value = (nn.Linear(d_model, kv_width, bias=bool(bias)) for _ in range(2))
        self.out = nn.Linear(width, d_model, bias=bias is True)
        self.value_embedding = value_embedding_of(value_embedding, vocab_size, d_model, self.n_kv_heads, self.d_head)
        self.query_norm, self.key_norm = (head_norm(qk_norm, self.d_head, qk_norm_eps) for _ in range(2))
        self.lookup = Lookup(n_heads, softcap, scale, sinks, dropout if attention_dropout else 0.0)
        self.dropout = nn.Dropout(dropout)
        self.reach, self.cache_bits = checked_window(window, sink_tokens), checked_bits(cache_bits)
        self.window = None if sink_tokens else window  # how far back an output depends on its inputs

    def initial_state(self, batch: int, length: int) -> KVCache:
        sizes = (batch, self.n_kv_heads, length, self.d_head, self.d_head)
        return cache_of(self.cache_bits, *sizes, self.key.weight, **self.reach)

    def state_size(self, length: int) -> int:
        return 2 * self.n_kv_heads * self.d_head * slots(length, **self.reach)

    def mixing_flops(self, context_length: int) -> float:
        """Forward operations a token beside the weight matrices: two products with the keys that it reads."""
        return 4.0 * self.n_heads * self.d_head * keys_read(context_length, **self.reach)

    def forward(
        self, x: Float[Tensor, "batch time d_model"], place: Place, state: KVCache | None = None
    ) -> tuple[Float[Tensor, "batch time d_model"], KVCache | None]:
        query, key, value = self.project(x, place)
        if state:
            reads = state.append(key, value, place)
        else:
            if self.cache_bits:
                key, value = (as_remembered(each, self.cache_bits) for each in (key, value))
            reads = Readable.fresh(key, value, place, **self.reach)
        found = self.lookup(query, reads, self.position.bias(place.index, reads.index))
        return self.dropout(self.out(merge_heads(found))), state

    def project(self, x: Float[Tensor, "batch time d_model"], place: Place) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, split into heads; the first two as they meet."""
        query, key, value = side_by_side(self, x)
        query = self.query_norm(split_heads(query, self.n_heads))
        key = self.key_norm(split_heads(key, self.n_kv_heads))
        query, key = turned(self.position, place, query, key)
        return query, key, self.value_embedding(split_heads(value, self.n_kv_heads), x, place)
