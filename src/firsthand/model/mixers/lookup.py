"""How queries meet keys: what shapes their scores, and what comes back."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from firsthand.model.mixers.kv_cache import Readable
from firsthand.ops.attention import attention


class Lookup(nn.Module):
    """Attention over what is readable.

    `softcap` squeezes the scores; `scale` multiplies them (None: 1 / √ of the keys' width). With `sinks` each head
    learns the score of a key without a value, so that it may look at nothing (gpt-oss; it begins at 0, one more key
    among many). `dropout` acts on the weights, in training.
    """

    def __init__(
        self,
        n_heads: int,
        softcap: float | None = None,
        scale: float | None = None,
        sinks: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.softcap, self.scale, self.dropout = softcap, scale, dropout
        self.sinks = nn.Parameter(torch.zeros(n_heads)) if sinks else None

    def forward(
        self,
        query: Float[Tensor, "batch heads time d_key"],
        reads: Readable,
        bias: Float[Tensor, "rows heads time all"] | None,
    ) -> Float[Tensor, "batch heads time d_value"]:
        return attention(
            query,
            reads.keys.to(query.dtype),
            reads.values.to(query.dtype),
            bias=bias,
            softcap=self.softcap,
            sinks=self.sinks,
            scale=self.scale,
            dropout=self.dropout if self.training else 0.0,
            **reads.rules,
        )
