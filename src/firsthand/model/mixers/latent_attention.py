"""Latent attention: keys and values of all heads come from one short vector a token, and only that is remembered."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from firsthand.model import Position
from firsthand.model.mixers.heads import UnitNorm, head_sizes, merge_heads, split_heads
from firsthand.model.mixers.kv_cache import KVCache, Readable, keys_read
from firsthand.model.mixers.lookup import Lookup
from firsthand.model.mixers.quantized_cache import as_remembered, cache_of, checked_bits
from firsthand.types import Place


class LatentAttention(nn.Module):
    """Multi-head latent attention (MLA) of DeepSeek-V2 and V3 (arXiv 2405.04434, section 2.1 and appendix C).

    The letters of the paper are here:

        c^KV = W^DKV h      compress        d_latent numbers (d_c), normed: what a token leaves behind, with
        k^R = W^KR h        turned_key      d_head numbers (d_h^R), turned by the position scheme, for all heads
        k^C = W^UK c^KV     key             d_content numbers for each head
        v^C = W^UV c^KV     value           d_value numbers for each head
        c^Q = W^DQ h        compress_query  d_query_latent numbers (d_c'), normed; None: queries come from h itself
        q^C = W^UQ c^Q      query           what meets k^C
        q^R = W^QR c^Q      turned_query    what meets k^R

    By default d_content and d_value are d_head, and d_latent is 4 · d_head. DeepSeek-V2 has d_head = 64, d_content =
    d_value = 128, d_latent = 512 and d_query_latent = 1536. `bias` is that of the maps from and to the residual stream,
    `eps` that of the norms; `scale` is 1 / √(d_content + d_head) if not given. What is remembered is so in `cache_bits`
    bits a number (None: as it is; quantized_cache.py).
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        d_head: int | None = None,
        position: Position | None = None,
        bias: bool = False,
        dropout: float = 0.0,
        d_latent: int | None = None,
        d_query_latent: int | None = None,
        d_content: int | None = None,
        d_value: int | None = None,
        eps: float = 1e-6,
        scale: float | None = None,
        cache_bits: int | None = None,
    ) -> None:
        super().__init__()
        self.n_heads, _, self.d_head = head_sizes(d_model, n_heads, None, d_head)
        self.d_content, self.d_value = d_content or self.d_head, d_value or self.d_head
        self.d_latent, self.cache_bits = d_latent or 4 * self.d_head, checked_bits(cache_bits)
        self.position = position if position is not None else Position()
        self.compress = nn.Linear(d_model, self.d_latent, bias=bias)
        self.turned_key = nn.Linear(d_model, self.d_head, bias=bias)
        self.latent_norm = UnitNorm(self.d_latent, eps, gain=True)
        self.key = nn.Linear(self.d_latent, n_heads * self.d_content, bias=False)
        self.value = nn.Linear(self.d_latent, n_heads * self.d_value, bias=False)
        width = d_query_latent
        self.compress_query = nn.Identity() if width is None else nn.Linear(d_model, width, bias=bias)
        self.query_norm = nn.Identity() if width is None else UnitNorm(width, eps, gain=True)
        source, own_bias = d_query_latent or d_model, bias and d_query_latent is None
        self.query = nn.Linear(source, n_heads * self.d_content, bias=own_bias)
        self.turned_query = nn.Linear(source, n_heads * self.d_head, bias=own_bias)
        self.out = nn.Linear(n_heads * self.d_value, d_model, bias=bias)
        self.lookup = Lookup(n_heads, scale=(self.d_content + self.d_head) ** -0.5 if scale is None else scale)
        self.dropout = nn.Dropout(dropout)

    def initial_state(self, batch: int, length: int) -> KVCache:
        return cache_of(self.cache_bits, batch, 1, length, self.d_latent + self.d_head, 0, self.compress.weight)

    def state_size(self, length: int) -> int:
        return (self.d_latent + self.d_head) * length

    def mixing_flops(self, context_length: int) -> float:
        """Forward operations a token beside the weight matrices: two products with what it reads."""
        return 2.0 * self.n_heads * (self.d_content + self.d_head + self.d_value) * keys_read(context_length)

    def forward(
        self, x: Float[Tensor, "batch time d_model"], place: Place, state: KVCache | None = None
    ) -> tuple[Float[Tensor, "batch time d_model"], KVCache | None]:
        query, memory = self.queries(x, place), self.memories(x, place)
        nothing = memory[..., :0]
        if state:
            reads = state.append(memory, nothing, place)
        else:
            reads = Readable.fresh(as_remembered(memory, self.cache_bits), nothing, place)
        find = self.absorbed if state and self.few(x.shape[1]) else self.expanded
        found = find(query, reads, self.position.bias(place.index, reads.index))
        return self.dropout(self.out(merge_heads(found))), state

    def queries(
        self, x: Float[Tensor, "batch time d_model"], place: Place
    ) -> Float[Tensor, "batch heads time d_query"]:
        """q^C and q^R, side by side."""
        source = self.query_norm(self.compress_query(x))
        content, turned = (split_heads(part(source), self.n_heads) for part in (self.query, self.turned_query))
        return torch.cat((content, self.position.rotate(turned, place.index)), -1)

    def memories(self, x: Float[Tensor, "batch time d_model"], place: Place) -> Float[Tensor, "batch 1 time d_memory"]:
        """c^KV and k^R, side by side: all that later tokens need to know of these."""
        latent, turned = self.latent_norm(self.compress(x)), split_heads(self.turned_key(x), 1)
        return torch.cat((latent.unsqueeze(1), self.position.rotate(turned, place.index)), -1)

    def expanded(
        self, query: Tensor, reads: Readable, bias: Tensor | None
    ) -> Float[Tensor, "batch heads time d_value"]:
        """Attention with keys and values made for every head and token (eq. 9 to 19)."""
        latent, turned = reads.keys[:, 0, :, : self.d_latent], reads.keys[..., self.d_latent :]
        content, values = (split_heads(part(latent), self.n_heads) for part in (self.key, self.value))
        keys = torch.cat((content, turned.to(content.dtype).expand(-1, self.n_heads, -1, -1)), -1)
        found: Tensor = self.lookup(query, replace(reads, keys=keys, values=values), bias)
        return found

    def absorbed(
        self, query: Tensor, reads: Readable, bias: Tensor | None
    ) -> Float[Tensor, "batch heads time d_value"]:
        """The same without making any: W^UK is multiplied into the queries and W^UV into what they find, so that all
        heads share one key, the memory itself (section 2.1.2)."""
        content, turned = query[..., : self.d_content], query[..., self.d_content :]
        query = torch.cat((content @ self.key.weight.view(self.n_heads, -1, self.d_latent), turned), -1)
        found: Tensor = self.lookup(query, replace(reads, values=reads.keys[..., : self.d_latent]), bias)
        return found @ self.value.weight.view(self.n_heads, -1, self.d_latent).mT

    def few(self, time: int) -> bool:
        """Whether the absorbed form takes less arithmetic for so many queries and many more keys."""
        made = self.d_content + self.d_value
        return time * (2 * self.d_latent - made) < self.d_latent * made
