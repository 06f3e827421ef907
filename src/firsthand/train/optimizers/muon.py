"""Muon: momentum whose matrix is replaced by the nearest orthogonal one, for hidden weights; AdamW for the rest."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from firsthand.train.optimizers.adamw import FusedAdamW
from firsthand.train.optimizers.descent import Light, decay, kept
from firsthand.train.optimizers.groups import NamedParameters, by_shape, is_hidden_matrix, parameter_groups

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration in K. Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"."""


def orthogonalize(
    x: Float[Tensor, "n rows columns"], iterations: int = 5, dtype: torch.dtype | None = None
) -> Float[Tensor, "n rows columns"]:
    """Each matrix with its singular values moved near 1 (to about 0.7 ... 1.2) by a Newton-Schulz iteration.

    X <- aX + (bA + cA²)X with A = XXᵀ, on the short side. All matrices of one shape go through one batched product.
    It is computed and returned in `dtype` (None: that of x); the iteration corrects its own rounding.
    """
    a, b, c = COEFFICIENTS
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = (x / (torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True) + 1e-7)).to(dtype or x.dtype)
    for _ in range(iterations):
        gram = torch.bmm(x, x.mT)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x.mT if tall else x


class Muon(Light):
    """Nesterov momentum, orthogonalized, scaled by sqrt(max(1, rows / columns)); decoupled weight decay.

    Of a stack of matrices (experts) each is orthogonalized by itself.
    The parameters in `others` go to fused AdamW, which shares this optimizer's groups and state, so that a
    checkpoint or a schedule sees one optimizer.
    """

    def __init__(
        self,
        matrices: list[nn.Parameter],
        others: list[dict[str, Any]],
        lr: float,
        momentum: float,
        weight_decay: float,
        iterations: int,
        cautious: bool = False,
        dtype: torch.dtype | None = None,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__([{"params": matrices}], defaults | {"iterations": iterations, "cautious": cautious})
        self.dtype = dtype
        self.adamw = FusedAdamW(others, {}) if others else None
        if self.adamw is not None:
            self.adamw.state = self.state
            self.param_groups.extend(self.adamw.param_groups)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None, "the loop computes the gradients"
        group = self.param_groups[0]
        for parameters in by_shape(p for p in group["params"] if p.grad is not None):
            self._step_stack(parameters, group)
        if self.adamw is not None:
            self.adamw.step()

    def _step_stack(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        weights: list[Tensor] = list(parameters)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        buffers = kept([self.state[parameter] for parameter in parameters], "momentum", weights)
        torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
        looked_ahead = torch._foreach_lerp(gradients, buffers, group["momentum"])
        stack = torch.stack(looked_ahead)
        flat = orthogonalize(stack.flatten(0, -3), group["iterations"], self.dtype)
        updates = list(flat.to(stack.dtype).view_as(stack).unbind())
        rows, columns = stack.shape[-2:]
        rate = group["lr"] * max(1.0, rows / columns) ** 0.5
        decay(weights, updates, group["lr"] * group["weight_decay"], group["cautious"])
        torch._foreach_add_(weights, updates, alpha=-rate)


def muon(
    named_parameters: NamedParameters,
    lr: float = 0.02,
    momentum: float = 0.95,
    weight_decay: float = 0.0,
    iterations: int = 5,
    adamw_lr: float = 3e-3,
    betas: tuple[float, float] | list[float] = (0.8, 0.95),
    eps: float = 1e-10,
    cautious: bool = False,
    width_ratio: float = 1.0,
    precision: str = "fp32",
) -> Optimizer:
    """Muon on hidden matrices, AdamW (rate `adamw_lr`, no decay) on embeddings, heads, gains and biases.

    A run that computes in bf16 orthogonalizes in bf16, which `precision` says; weights and momentum stay in fp32.

    `width_ratio` changes nothing: an orthogonal step has the size that a matrix of any width asks for (Yang et al.
    2023, arXiv 2310.17813, section 3), and AdamW's rate for the rest does not depend on the width either.
    """
    matrices = [parameter for name, parameter in named_parameters if is_hidden_matrix(name, parameter)]
    rest = [(name, parameter) for name, parameter in named_parameters if not is_hidden_matrix(name, parameter)]
    shared = {"lr": adamw_lr, "betas": (betas[0], betas[1]), "eps": eps}
    others = [group | shared for group in parameter_groups(rest, 0.0)]
    dtype = torch.bfloat16 if precision == "bf16" else None
    return Muon(matrices, others, lr, momentum, weight_decay, iterations, cautious, dtype)
