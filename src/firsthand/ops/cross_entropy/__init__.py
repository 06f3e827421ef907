"""Cross-entropy: what a language model minimises."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from firsthand.ops.cross_entropy.chunked import LinearCrossEntropy
from firsthand.ops.frozen import lowered


def cross_entropy(
    logits: Float[Tensor, "*rows vocab"], targets: Int[Tensor, "*rows"], ignore_index: int = -100
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """The summed loss in nats over the targets that are not `ignore_index`, and their number (0 and 0 if none is).

    A sum, not a mean, so that microbatches with unequal counts add up right: divide once, by the global count.
    Computed in fp32 at least.
    """
    flat = logits.reshape(-1, logits.shape[-1])
    flat = flat.float() if flat.dtype.itemsize < 4 else flat
    total = F.cross_entropy(flat, targets.reshape(-1), ignore_index=ignore_index, reduction="sum")
    return total, (targets != ignore_index).sum()


def linear_cross_entropy(
    x: Float[Tensor, "*rows d_model"],
    weight: Float[Tensor, "vocab d_model"],
    targets: Int[Tensor, "*rows"],
    softcap: float | None = None,
    ignore_index: int = -100,
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """`cross_entropy` of the logits x weightᵀ, squeezed to ±softcap, without ever holding them all.

    On a CPU a few rows at a time, which takes about the same time and a fifth of the memory (docs/operations.md).
    """
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        logits = F.linear(x, weight)
        return cross_entropy(
            logits if softcap is None else softcap * torch.tanh(logits / softcap), targets, ignore_index
        )
    if torch.is_autocast_enabled("cpu"):
        lower = torch.get_autocast_dtype("cpu")
        x, weight = x.to(lower), lowered(weight, lower)
    x, ids = x.reshape(-1, x.shape[-1]), targets.flatten()
    counted = ids != ignore_index
    count = counted.sum()
    # a tensor subclass (as used for counting) may hold no numbers to ask for
    if type(count) is Tensor and int(count) < len(ids):
        x, ids = x[counted], ids[counted]  # prompts and padding cost no logits
    nats = LinearCrossEntropy.apply(x, weight, ids, softcap)  # type: ignore[no-untyped-call]
    return nats, count
