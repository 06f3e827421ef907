"""Keys and values remembered in few bits, rounded for each token and head."""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from firsthand.errors import UserError
from firsthand.model.mixers.kv_cache import KVCache, Readable
from firsthand.types import Place

BITS = (4, 8)
BESIDE = 4
"""Bytes of a vector beside its codes: the step and the smallest number, fp16 each."""


class QuantizedKVCache(KVCache):
    """A KVCache whose slots hold bytes: of each token's vector in each head the codes, their step and the least number.

    x becomes round((x - low) / step) · step + low with step = (high - low) / (2^bits - 1) (KIVI, arXiv 2402.02750,
    section 3.1, "per token"). All that is read has been rounded, that of the same call included, so that it does not
    matter in how many calls a text comes.
    """

    def __init__(
        self,
        bits: int,
        batch: int,
        n_kv_heads: int,
        length: int,
        d_key: int,
        d_value: int,
        like: Tensor,
        window: int | None = None,
        sink_tokens: int = 0,
    ) -> None:
        sizes = (row_bytes(d_key, bits), row_bytes(d_value, bits))
        like_bytes = torch.empty(0, dtype=torch.uint8, device=like.device)
        super().__init__(batch, n_kv_heads, length, *sizes, like_bytes, window, sink_tokens)
        self.bits, self.d_key, self.d_value = bits, d_key, d_value

    def append(
        self,
        key: Float[Tensor, "batch heads time d_key"],
        value: Float[Tensor, "batch heads time d_value"],
        place: Place,
    ) -> Readable:
        """Store the new tokens, and return what they may read."""
        reads = super().append(encode(key, self.bits), encode(value, self.bits), place)
        keys = decode(reads.keys, self.bits, self.d_key).to(key.dtype)
        return replace(reads, keys=keys, values=decode(reads.values, self.bits, self.d_value).to(value.dtype))


def cache_of(bits: int | None, *sizes: Any, **reach: Any) -> KVCache:
    """An empty one, with KVCache's arguments."""
    return KVCache(*sizes, **reach) if bits is None else QuantizedKVCache(bits, *sizes, **reach)


def checked_bits(bits: int | None) -> int | None:
    """UserError for bits in which no cache is kept."""
    if bits not in (None, *BITS):
        raise UserError(f"cache_bits = {bits} is no precision of a cache: {' or '.join(map(str, BITS))} bits, or null.")
    return bits


def row_bytes(width: int, bits: int) -> int:
    """Of a vector of `width` numbers."""
    return -(-width * bits // 8) + BESIDE if width else 0


def encode(x: Float[Tensor, "*rows width"], bits: int) -> UInt8[Tensor, "*rows bytes"]:
    """The bytes of each vector. Step and lowest number are rounded to fp16 before the codes are chosen."""
    if not x.shape[-1]:
        return x.to(torch.uint8)
    x, last = x.detach().float(), 2**bits - 1
    low, high = (end.clamp(-65504, 65504) for end in (x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)))
    step, low = ((high - low) / last).half(), low.half()
    codes = ((x - low.float()) / torch.where(step > 0, step.float(), torch.inf)).round().clamp(0, last).to(torch.uint8)
    if bits == 4:
        pairs = torch.unflatten(F.pad(codes, (0, codes.shape[-1] % 2)), -1, (-1, 2))
        codes = pairs[..., 0] | (pairs[..., 1] << 4)
    beside = torch.cat((step, low), -1).contiguous().view(torch.uint8)
    return torch.cat((codes, beside), -1)


def decode(rows: UInt8[Tensor, "*rows bytes"], bits: int, width: int) -> Float[Tensor, "*rows width"]:
    """The vectors that these bytes stand for, in fp32."""
    if not width:
        return rows.float()
    codes = rows[..., :-BESIDE]
    aligned = rows[..., -BESIDE:].clone(
        memory_format=torch.contiguous_format
    )  # a view of bytes may begin at an odd one
    beside = aligned.view(torch.float16).float()
    if bits == 4:
        codes = torch.stack((codes & 15, codes >> 4), -1).flatten(-2)[..., :width]
    return codes.float() * beside[..., :1] + beside[..., 1:]


def as_remembered(x: Float[Tensor, "*rows width"], bits: int | None) -> Float[Tensor, "*rows width"]:
    """What a cache of so many bits gives back; its gradient is that of x (arXiv 1308.3432). None: x itself."""
    if bits is None:
        return x
    return x + (decode(encode(x, bits), bits, x.shape[-1]).to(x.dtype) - x).detach()
