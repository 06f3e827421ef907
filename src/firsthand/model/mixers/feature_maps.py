"""What linear attention does to queries and keys, so that a product of two such maps stands in for exp(q · k)."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def elu(x: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows d"]:
    """elu(x) + 1: positive everywhere, and its gradient too (Katharopoulos et al. 2020, arXiv 2006.16236, eq. 7)."""
    # torch's own elu cannot be compiled here: its gradient has another order in memory than the compiler expects
    return torch.where(x > 0, x + 1, x.clamp(max=0).exp())


def relu(x: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows d"]:
    """max(x, 0): sparse, and blind where no channel of query and key agrees."""
    return F.relu(x)


def softmax(x: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows d"]:
    """exp(x), divided by its sum over the channels so that it stays finite (Efficient Attention, arXiv 1812.01243)."""
    return F.softmax(x, -1)


def identity(x: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows d"]:
    """x itself: the fast weights of Schmidhuber (1992). Products may be negative, so nothing can be divided by them."""
    return x


def taylor(x: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows wide"]:
    """1, x / d^¼ and all products of two channels: a product of two such is 1 + s + s²/2 with s = q · k / √d, the
    beginning of exp(s) and always positive (Based, arXiv 2402.18668, section 3). 1 + d + d² channels: for small d."""
    small = x * x.shape[-1] ** -0.25
    products = (small.unsqueeze(-1) * small.unsqueeze(-2)).flatten(-2) * 0.5**0.5
    return torch.cat((torch.ones_like(x[..., :1]), small, products), dim=-1)


FEATURE_MAPS: dict[str, Callable[[Tensor], Tensor]] = {
    "elu": elu,
    "relu": relu,
    "softmax": softmax,
    "identity": identity,
    "taylor": taylor,
}
