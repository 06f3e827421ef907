"""Attention: one function, four versions, and the rule that chooses among them."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from firsthand.errors import UserError
from firsthand.ops.attention import banded, product, sdpa
from firsthand.ops.attention.mask import Mask, causal_mask
from firsthand.ops.attention.reference import attention as _definition
from firsthand.ops.choice import preferred, version_for

__all__ = ["VERSIONS", "attention", "causal_mask", "choose"]

_has_amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
AMX = bool(_has_amx()) and torch.backends.cpu.get_cpu_capability() == "AVX512"
"""Whether torch uses Intel's matrix unit, for which its flash kernels lay out bf16. Set ATEN_CPU_CAPABILITY=avx2 and
they fail, so that the name of the vectors is asked too."""


def _reference(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Mask,
    scale: float,
    bias: Tensor | None,
    softcap: float | None,
    sinks: Tensor | None,
    dropout: float,
) -> Tensor:
    """The definition, called as the others are."""
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    allowed = mask.dense(query.shape[2], key.shape[2], query.device)
    allowed = torch.ones((), dtype=torch.bool, device=query.device) if allowed is None else allowed
    return _definition(query, key, value, allowed, scale, bias, softcap, sinks)


VERSIONS: dict[str, Callable[..., Tensor]] = {
    "reference": _reference,
    "sdpa": sdpa.attention,
    "product": product.attention,
    "banded": banded.attention,
}


def attention(
    query: Float[Tensor, "batch heads query d_head"],
    key: Float[Tensor, "batch kv_heads key d_head"],
    value: Float[Tensor, "batch kv_heads key d_value"],
    *,
    visible: Bool[Tensor, "..."] | None = None,
    causal: bool = False,
    segment: Int[Tensor, "batch key"] | None = None,
    window: int | None = None,
    sink_tokens: int = 0,
    bias: Float[Tensor, "..."] | None = None,
    softcap: float | None = None,
    sinks: Float[Tensor, " heads"] | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
    version: str = "auto",
) -> Float[Tensor, "batch heads query d_value"]:
    """softmax(scale · query keyᵀ + bias) value over the keys that a query may read; one that may read none gives zeros.

    Key/value heads may be fewer: query head h reads key/value head h // (heads / kv_heads) (GQA, arXiv 2305.13245).
    A query reads the keys that all of these let it read; the last query stands at the last key:
    `visible`: True = may read; broadcasts to (batch, heads, query, key). `causal`: no keys after its own place.
    `segment`: keys of its own segment, whose tokens stand together. `window`: its own place and the window - 1 before
    it (Mistral 7B, arXiv 2310.06825), and always the first `sink_tokens` of its segment (arXiv 2309.17453).
    `softcap` squeezes the scores before `bias`, which broadcasts like `visible`, is added. `sinks`: for each head the
    score of one more key without a value, so that a query may look at nothing (gpt-oss). `scale`: by default
    1 / √d_head. `dropout` is the probability of dropping an attention weight. `version` forces one of VERSIONS;
    UserError if that one cannot do what is asked.
    """
    mask, dtype = Mask(visible, causal, segment, window, sink_tokens), query.dtype
    query, key, value = _exact_if_single(query, key, value)
    explicit = dropout > 0 or softcap is not None or sinks is not None
    in_band = window if window is not None and banded.can(query, key, mask, bias) else None
    training, uneven = torch.is_grad_enabled(), query.shape[3] != value.shape[3]
    best = choose(query.device.type, query.dtype, query.shape[2], explicit, in_band, uneven, training)
    if training:
        version, best = preferred("attention", version, best, able=not explicit and in_band is None)
    if version == "sdpa" and (softcap is not None or sinks is not None):
        raise UserError("The sdpa version of attention has no softcap and no sinks. Use version product.")
    if version == "reference" and dropout > 0:
        raise UserError("The reference of attention has no dropout. Use version product, or leave dropout out.")
    if version == "banded" and in_band is None:
        raise UserError(
            "The banded version of attention needs a window, causal=True and as many queries as keys, and has no "
            "visible and no bias. Use version product."
        )
    run = version_for("attention", VERSIONS, version, best, query)
    scale = query.shape[3] ** -0.5 if scale is None else scale
    return run(query, key, value, mask, scale, bias, softcap, sinks, dropout).to(dtype)


def _exact_if_single(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """In fp32 if there is a single query, on a CPU: see `choose`."""
    if query.shape[2] > 1 or query.dtype.itemsize >= 4 or query.device.type != "cpu":
        return query, key, value
    return query.float(), key.float(), value.float()


def choose(
    device: str,
    dtype: torch.dtype,
    query_length: int,
    explicit: bool = False,
    window: int | None = None,
    uneven: bool = False,
    training: bool = True,
    amx: bool = AMX,
) -> str:
    """The fastest version for queries of this kind; `explicit`: the scores themselves are needed (softcap, sinks,
    dropout); `window`: given where the banded version can do it; `uneven`: values are not as wide as keys;
    `training`: gradients are wanted; `amx`: the CPU has that unit.

    On a CPU torch's flash kernels win in fp32 at every length. In bf16 they are slow, and the plain product wins until
    the scores no longer fit the cache; likewise, though sooner, where values must be widened for them. With AMX flash
    is 1.3 to 5 times as fast forward (T = 128 to 2048), its backward pass as slow as elsewhere until T = 512. A single
    query in bf16 is answered in fp32: with one more key at every step of decoding the product would make a new kernel
    each time (0.4 ms), and flash takes 1.5 to 7 times as long as in fp32, casts included. From two windows
    on, and for more than a few blocks, a band is cheaper than the square. `python -m benchmarks attention` measures
    all that. On a GPU SDPA itself picks the best kernel.
    """
    if window is not None and query_length >= max(2 * window, 128):
        return "banded"
    in_bf16 = 1024 if not amx else 512 if training or uneven else 0
    longest = 0 if device != "cpu" else in_bf16 if dtype.itemsize < 4 else 256 if uneven else 0
    return "product" if explicit or query_length <= longest else "sdpa"
