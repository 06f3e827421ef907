"""Quantization-aware training: the model trains while its weights are rounded, so that it learns to live with it."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from firsthand.compress.quantize import maps_to_round, round_tables
from firsthand.compress.subject import Given, Subject
from firsthand.errors import UserError
from firsthand.model.quantized import put
from firsthand.ops.quantized import Quantized
from firsthand.ops.quantized.affine import Affine


class Aware:
    """Products are with the rounded weight, and its gradient goes to the full one as if nothing had been rounded.

    The straight-through estimator (Bengio et al., arXiv 1308.3432, section 4) on weights (arXiv 1712.05877, section 3):
    steps too small for one rounding add up in the full weight until they move a code. `train`: settings of a recipe,
    like {train.steps: 200}; afterwards the weights are rounded for good. `bits`, `group`, `symmetric`, `scales` and
    `reach` as in ops/quantized/affine.py; `embedding` (rounded after the training) and `targets` as those of
    round_to_nearest.
    """

    def __init__(
        self,
        bits: int = 4,
        group: int | None = 32,
        symmetric: bool = True,
        scales: str = "fp16",
        reach: float | None = None,
        train: dict[str, Any] | None = None,
        embedding: dict[str, Any] | None = None,
        targets: str | list[str] = "layers",
    ) -> None:
        self.format = Affine(bits, group, symmetric, scales, reach)
        self.train, self.embedding, self.targets = train or {}, embedding, targets

    def __call__(self, subject: Subject, given: Given) -> None:
        if given.train is None:
            raise UserError("aware: this method trains the model, and nothing here can train. Use round_to_nearest.")
        names = list(maps_to_round(subject, self.targets))
        for name in names:
            _put(subject.model, name, RoundedLinear(subject.model.get_submodule(name), self.format))
        given.train(subject, self.train)
        for name in names:
            put(subject.model, name, Quantized.of(subject.model.get_parameter(f"{name}.weight"), self.format))
        subject.model.eval()
        round_tables(subject, self.embedding)


class RoundedLinear(nn.Linear):
    """A linear map that trains its own weight and bias, and multiplies with what rounding makes of the weight."""

    def __init__(self, linear: Any, format: Affine) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features, self.format = linear.in_features, linear.out_features, format
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: Float[Tensor, "*rows d_in"]) -> Float[Tensor, "*rows d_out"]:
        return F.linear(x, straight_through(self.weight, self.format), self.bias)


def straight_through(weight: Float[Tensor, "d_out d_in"], format: Affine) -> Float[Tensor, "d_out d_in"]:
    """The rounded weight, whose gradient is that of the weight."""
    with torch.no_grad():
        scales, zeros = format.grid(weight)
        off = format.values(format.nearest(weight, scales, zeros), scales, zeros).to(weight.dtype) - weight
    return weight + off


def _put(model: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, part)
