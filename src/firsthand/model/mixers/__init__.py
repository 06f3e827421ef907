"""The mixers a recipe can name."""

from collections.abc import Callable

from torch import nn

from firsthand.model.mixers.attention import CausalSelfAttention

MIXERS: dict[str, Callable[..., nn.Module]] = {"attention": CausalSelfAttention}
