"""The mixers a recipe can name."""

from collections.abc import Callable

from torch import nn

from firsthand.model.mixers.attention import CausalSelfAttention
from firsthand.model.mixers.delta import DeltaNet
from firsthand.model.mixers.gated_delta import GatedDeltaNet
from firsthand.model.mixers.latent_attention import LatentAttention
from firsthand.model.mixers.linear_attention import LinearAttention
from firsthand.model.mixers.mamba import Mamba
from firsthand.model.mixers.mamba2 import Mamba2
from firsthand.model.mixers.retention import Retention

MIXERS: dict[str, Callable[..., nn.Module]] = {
    "attention": CausalSelfAttention,
    "delta": DeltaNet,
    "gated_delta": GatedDeltaNet,
    "latent_attention": LatentAttention,
    "linear_attention": LinearAttention,
    "mamba": Mamba,
    "mamba2": Mamba2,
    "retention": Retention,
}
