"""The causal convolution as it is defined."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def causal_convolution(
    x: Float[Tensor, "batch time channels"],
    taps: Float[Tensor, "channels width"],
    bias: Float[Tensor, " channels"] | None,
    window: Float[Tensor, "batch past channels"],
    segment: Int[Tensor, "batch time"],
) -> tuple[Float[Tensor, "batch time channels"], Float[Tensor, "batch past channels"]]:
    """y_t = bias + Σ_k taps_k x_{t-k}, k < width, over the tokens of t's own segment; what stood before x is `window`.

    Each channel by itself. The last tap is that of the current token. The new window is the last width - 1 tokens,
    zeros in place of those of other segments.
    """
    past = window.shape[1]
    tokens = torch.cat((window, x), dim=1)
    numbers = torch.cat((segment.new_zeros(len(x), past), segment), dim=1)
    outputs = []
    for t in range(past, tokens.shape[1]):
        same = (numbers[:, t - past : t + 1] == numbers[:, t, None]).unsqueeze(-1)
        outputs.append((torch.where(same, tokens[:, t - past : t + 1], 0) * taps.t()).sum(1))
    y = torch.stack(outputs, dim=1)
    last = (numbers[:, x.shape[1] :] == numbers[:, -1:]).unsqueeze(-1)
    return y if bias is None else y + bias, torch.where(last, tokens[:, x.shape[1] :], 0)
