"""Cross-entropy: what a language model minimises."""

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def cross_entropy(
    logits: Float[Tensor, "*rows vocab"], targets: Int[Tensor, "*rows"], ignore_index: int = -100
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """The summed loss in nats over the targets that are not `ignore_index`, and their number (both 0 if there are none).

    A sum, not a mean, so that microbatches with unequal counts add up right: divide once, by the global count.
    Computed in fp32 at least.
    """
    flat = logits.reshape(-1, logits.shape[-1])
    flat = flat.float() if flat.dtype.itemsize < 4 else flat
    total = F.cross_entropy(flat, targets.reshape(-1), ignore_index=ignore_index, reduction="sum")
    return total, (targets != ignore_index).sum()
