"""The causal convolution: each channel looks a few tokens back. One function, its versions, and the rule."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from firsthand.ops.causal_convolution import depthwise, shifted
from firsthand.ops.causal_convolution.reference import causal_convolution as _definition
from firsthand.ops.choice import version_for

__all__ = ["VERSIONS", "causal_convolution"]


def _reference(tokens: Tensor, numbers: Tensor | None, taps: Tensor, bias: Tensor | None) -> Tensor:
    """The definition, called as the others are."""
    past = taps.shape[1] - 1
    x = tokens[:, past:]
    segment = torch.zeros(x.shape[:2], dtype=torch.long, device=x.device) if numbers is None else numbers[:, past:]
    return _definition(x, taps, bias, tokens[:, :past], segment)[0]


VERSIONS: dict[str, Callable[..., Tensor]] = {
    "reference": _reference,
    "shifted": shifted.causal_convolution,
    "depthwise": depthwise.causal_convolution,
}


def causal_convolution(
    x: Float[Tensor, "batch time channels"],
    taps: Float[Tensor, "channels width"],
    bias: Float[Tensor, " channels"] | None = None,
    window: Float[Tensor, "batch width-1 channels"] | None = None,
    segment: Int[Tensor, "batch time"] | None = None,
    version: str = "auto",
) -> tuple[Float[Tensor, "batch time channels"], Float[Tensor, "batch width-1 channels"]]:
    """y_t = bias + Σ_k taps_k x_{t-k}, k < width, channel by channel, and the window for the tokens to come.

    The last tap belongs to the current token. `window`: the width - 1 tokens before x (None: zeros). `segment` counts
    the document borders in each row: tokens of segment 0 go on from the window, others see their own segment only.
    The new window holds what the last token's segment has shown of itself, else zeros. Nothing bends the output:
    the SiLU that usually follows is the caller's. `version` forces one of VERSIONS; UserError if there is none.
    """
    batch, time, channels = x.shape
    taps, bias = taps.to(x.dtype), None if bias is None else bias.to(x.dtype)
    past = taps.shape[1] - 1
    tokens = torch.cat((x.new_zeros(batch, past, channels) if window is None else window.to(x.dtype), x), dim=1)
    numbers = None if segment is None else torch.cat((segment.new_zeros(batch, past), segment), dim=1)
    by_kernel = x.device.type == "cpu" and time > 1 and not torch.compiler.is_compiling()
    run = version_for("causal_convolution", VERSIONS, version, "depthwise" if by_kernel else "shifted", x)
    y = run(tokens, numbers, taps, bias)
    after = tokens[:, time:].clone()  # a view would keep all tokens alive
    if numbers is not None:
        after = torch.where((numbers[:, time:] == numbers[:, -1:]).unsqueeze(-1), after, 0)
    return y, after
