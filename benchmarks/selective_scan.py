"""Claims: Mamba's scan and layer beat the definition and `transformers` in time and memory; decoding stays flat.

The layer of mamba-130m (d_model 768: 1,536 channels of 16 numbers) at 1,024 tokens in fp32. Time is the best of some
runs, both in turn; memory is the most that torch held at once beside inputs and weights, in a run of its own. A row
gives ours, the other and the gain. `transformers` takes minutes for one backward pass (each token's gradient is as
large as all tokens' states), so there each runs once, timed and weighed together. The last row decodes after 65,536
and after 1,024 tokens.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.measure import decoding, place, rows_beside
from firsthand.model.mixers.mamba import Mamba
from firsthand.ops.causal_convolution import causal_convolution
from firsthand.ops.selective_scan import selective_scan

D_MODEL, TIME, D_STATE = 768, 1024, 16
CHANNELS = 2 * D_MODEL
CONTEXTS = (1024, 65536)


def rows() -> list[dict[str, Any]]:
    torch.manual_seed(0)
    x = torch.randn(1, TIME, D_MODEL, requires_grad=True)
    convolution, conv1d = _convolutions()
    found = [
        *rows_beside("scan", _scan("blocks"), {"the definition": _scan("reference")}),
        *rows_beside("convolution", convolution, {"conv1d": conv1d}),
    ]
    theirs = _transformers()
    if theirs is not None:
        ours = functools.partial(_layer, Mamba(D_MODEL), x)
        found += rows_beside("layer", ours, {"transformers": functools.partial(theirs, x)}, once=True)
    return [*found, *decoding("Mamba", Mamba(D_MODEL).eval(), D_MODEL, CONTEXTS)]


def _layer(layer: Mamba, x: Tensor) -> Tensor:
    return layer(x, place(0, TIME))[0]


def _scan(version: str) -> Callable[[], Tensor]:
    x, dt = torch.randn(1, TIME, CHANNELS), torch.rand(1, TIME, CHANNELS) / 10
    rates = -torch.arange(1.0, D_STATE + 1).repeat(CHANNELS, 1)
    given = [x, dt, rates, torch.randn(1, TIME, D_STATE), torch.randn(1, TIME, D_STATE)]
    given = [tensor.requires_grad_() for tensor in given]
    return lambda: selective_scan(*given, version=version)[0]


def _convolutions() -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """Ours, and torch's on a padded and transposed copy."""
    given = [torch.randn(1, TIME, CHANNELS), torch.randn(CHANNELS, 4), torch.randn(CHANNELS)]
    x, taps, bias = (tensor.requires_grad_() for tensor in given)

    def plain() -> Tensor:
        return F.conv1d(F.pad(x.mT, (3, 0)), taps.unsqueeze(1), bias, groups=CHANNELS).mT

    return lambda: causal_convolution(x, taps, bias)[0], plain


def _transformers() -> nn.Module | None:
    """Its layer in plain torch, which is what it runs on a CPU."""
    try:
        from transformers import MambaConfig
        from transformers.models.mamba.modeling_mamba import MambaMixer
    except ImportError:
        return None
    logging.getLogger("transformers").setLevel(logging.ERROR)  # it warns that it is slow: that is the point
    return MambaMixer(MambaConfig(hidden_size=D_MODEL, use_mambapy=False), layer_idx=0)
