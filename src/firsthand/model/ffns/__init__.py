"""The feed-forward parts a recipe can name."""

from collections.abc import Callable

from torch import nn

from firsthand.model.ffns.experts import Experts
from firsthand.model.ffns.gated import Gated
from firsthand.model.ffns.mlp import MLP

FFNS: dict[str, Callable[..., nn.Module]] = {"mlp": MLP, "gated": Gated, "experts": Experts}
