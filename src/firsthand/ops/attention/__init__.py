"""Attention: one function, three versions, and the rule that chooses among them."""

import logging
from collections.abc import Callable
from functools import cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from firsthand.errors import UserError, suggest
from firsthand.ops.attention import product, sdpa
from firsthand.ops.attention.reference import attention as _definition
from firsthand.ops.attention.reference import causal_mask

__all__ = ["VERSIONS", "attention", "causal_mask", "choose"]


def _reference(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    visible: Tensor | None,
    causal: bool,
    bias: Tensor | None,
    softcap: float | None,
    dropout: float,
) -> Tensor:
    """The definition, in the layout of the others."""
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    length, keys = query.shape[2], key.shape[2]
    allowed = causal_mask(length, keys, keys - length if causal else keys, device=query.device)
    if visible is not None:
        allowed = allowed & visible
    return _definition(query, key, value, allowed, bias, softcap)


VERSIONS: dict[str, Callable[..., Tensor]] = {
    "reference": _reference,
    "sdpa": sdpa.attention,
    "product": product.attention,
}


def attention(
    query: Float[Tensor, "batch heads query d_head"],
    key: Float[Tensor, "batch kv_heads key d_head"],
    value: Float[Tensor, "batch kv_heads key d_value"],
    *,
    visible: Bool[Tensor, "..."] | None = None,
    causal: bool = False,
    bias: Float[Tensor, "..."] | None = None,
    softcap: float | None = None,
    dropout: float = 0.0,
    version: str = "auto",
) -> Float[Tensor, "batch heads query d_value"]:
    """softmax(query keyᵀ / √d_head + bias) value over the visible keys; rows that may read nothing give zeros.

    Key/value heads may be fewer: query head h reads key/value head h // (heads / kv_heads) (GQA, arXiv 2305.13245).
    `visible` (True = may read) and `bias` broadcast to (batch, heads, query, key). `causal`: the last query stands at
    the last key, and no query reads keys after its own place; it adds to `visible`. `softcap` squeezes the scores
    before the bias. `dropout` is the probability of dropping an attention weight. `version` forces one of VERSIONS;
    UserError if that one cannot do what is asked.
    """
    if version == "auto":
        version = choose(query.device.type, query.dtype, query.shape[2], dropout > 0 or softcap is not None)
    elif version not in VERSIONS:
        raise UserError(f"There is no version of attention called {version!r}. {suggest(version, VERSIONS)}")
    elif version == "sdpa" and softcap is not None:
        raise UserError("The sdpa version of attention has no softcap. Use version product, or leave softcap out.")
    elif version == "reference" and dropout > 0:
        raise UserError("The reference of attention has no dropout. Use version product, or leave dropout out.")
    return VERSIONS[version](query, key, value, visible, causal, bias, softcap, dropout)


def choose(device: str, dtype: torch.dtype, query_length: int, explicit: bool = False) -> str:
    """The fastest version for queries of this kind; `explicit`: the scores themselves are needed (softcap, dropout).

    On a CPU, flash kernels win on long rows only, and their bf16 path is slow; the lengths are measured
    (docs/model.md says where). Elsewhere SDPA picks the best kernel itself.
    """
    longest = 128 if dtype in (torch.float32, torch.float64) else 512
    use_product = explicit or (device == "cpu" and query_length <= longest)
    version = "product" if use_product else "sdpa"
    if not torch.compiler.is_compiling():
        _log_once(device, dtype, version)
    return version


@cache
def _log_once(device: str, dtype: torch.dtype, version: str) -> None:
    logging.getLogger(__name__).info("attention on %s in %s: version %s", device, dtype, version)
