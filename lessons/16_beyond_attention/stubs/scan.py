"""The two parts of Mamba that look back: a convolution over a few tokens, and a memory that tokens steer."""

# ruff: noqa: F401 - what is imported here is for the holes below

import torch
from torch import Tensor


def causal_convolution(
    x: Tensor, taps: Tensor, bias: Tensor | None = None, window: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """y_t = bias + taps[:, -1] x_t + taps[:, -2] x_(t-1) + ..., each channel by itself, and the window to go on with.

    x is (batch, time, channels), taps (channels, width): the last tap is that of the current token. bias: (channels).
    window: (batch, width - 1, channels), the inputs just before x, oldest first; None: zeros.

    Returns y, of the shape of x, and the window for what comes next: the last width - 1 inputs, also where x alone is
    shorter than that.
    """
    raise NotImplementedError


def selective_scan(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    skip: Tensor | None = None,
    state: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """h_t = exp(dt_t A) h_(t-1) + dt_t B_t x_t, then y_t = C_t . h_t + skip x_t; and the last h.

    x and dt are (batch, time, channels), dt >= 0: how long each channel listens to the token. A is (channels, d_state),
    < 0: how fast each number of a channel's memory fades. B and C are (batch, time, d_state): where the token is
    written, where it reads; all channels share them. skip: (channels).
    state: (batch, channels, d_state), the h before the first token; None: zeros.

    Returns y (batch, time, channels) and the h after the last token.
    """
    raise NotImplementedError
