"""SparseGPT: a weight goes, and those that stay move to make up for it (Frantar & Alistarh, arXiv 2301.00774)."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from firsthand.compress.calibration import Gram, layer_by_layer
from firsthand.compress.prune.choice import Choice
from firsthand.compress.prune.masks import matrices, tell
from firsthand.compress.prune.n_m import mask_n_of_m
from firsthand.compress.subject import Given, Subject
from firsthand.errors import UserError


def inverse_factor(gram: Float[Tensor, "d_in d_in"], damping: float) -> Float[Tensor, "d_in d_in"]:
    """The upper triangle U with UᵀU = (H + λI)⁻¹, where H = Xᵀ X and λ is `damping` times the mean of H's diagonal.

    Row j of U is what elimination of the inputs before j leaves of row j of the inverse, over its root: so one
    factorization serves all columns (section 3, after GPTQ). An input that was always zero gets next to no λ, so that
    its weights cost next to nothing. UserError if H cannot be inverted.
    """
    h = gram.double()
    size = h.diagonal()
    weight = damping * float(size.mean()) or 1.0
    try:
        lower = torch.linalg.cholesky(h + torch.diag(torch.where(size == 0, 1e-12 * weight, weight)))
        factor: Tensor = torch.linalg.cholesky(torch.cholesky_inverse(lower), upper=True)
    except RuntimeError:
        raise UserError(
            f"What a map reads cannot be inverted: some of it is not finite, or damping={damping} is too little."
        ) from None
    return factor


@torch.no_grad()
def sparsegpt(
    weight: Float[Tensor, "d_out d_in"],
    gram: Float[Tensor, "d_in d_in"],
    choice: Choice,
    block: int = 128,
    damping: float = 0.01,
) -> tuple[Float[Tensor, "d_out d_in"], Bool[Tensor, "d_out d_in"]]:
    """The weight with zeros, and the mask of what stays (algorithm 1). In float64; `gram` is Xᵀ X of its inputs.

    Column after column, a weight w that goes leaves the error w / U_jj, and the columns after it take U_j times that
    off: so the output changes least. Which go is decided for each `block` of columns by (w / U_jj)², over all rows
    together, when everything before has been made up for; with a pattern, for each of its groups, row by row.
    """
    w = weight.detach().double().clone()
    factor = inverse_factor(gram, damping)
    stays = torch.ones_like(w, dtype=torch.bool)
    for start in range(0, w.shape[1], block):
        end = min(start + block, w.shape[1])
        here, u = slice(start, end), factor[start:end, start:end]
        errors = _block(w[:, here], stays[:, here], u, choice)
        w[:, end:] -= errors @ factor[here, end:]
    return w * stays, stays


def _block(
    w: Float[Tensor, "d_out columns"],
    stays: Bool[Tensor, "d_out columns"],
    u: Float[Tensor, "columns columns"],
    choice: Choice,
) -> Float[Tensor, "d_out columns"]:
    """Choose in a block of columns and make up for it there, in place. Returns the errors, for the columns after."""
    errors = torch.zeros_like(w)
    if choice.group is None:
        stays.copy_(choice.mask((w / u.diagonal()).square()))
    for column in range(w.shape[1]):
        if choice.group is not None and column % choice.group[1] == 0:
            some = slice(column, column + choice.group[1])
            stays[:, some] = mask_n_of_m((w[:, some] / u.diagonal()[some]).square(), *choice.group)
        errors[:, column] = torch.where(stays[:, column], 0.0, w[:, column]) / u[column, column]
        w[:, column:] -= torch.outer(errors[:, column], u[column, column:])
    return errors


class SparseGPT:
    """Weights of every linear map become zero, and the others are moved so that its output changes least.

    `sparsity`: the share that goes (absent: a half), of each `block` of columns. `pattern`: "2:4" in its place.
    `damping`: added to the diagonal of Xᵀ X, as a share of its mean. Zeros save bytes in a file, not time: products
    still multiply with them.
    """

    def __init__(
        self, sparsity: float | None = None, pattern: str | None = None, block: int = 128, damping: float = 0.01
    ) -> None:
        self.choice, self.block, self.damping = Choice.of(sparsity, None, pattern), block, damping
        if block < 1 or damping <= 0 or (self.choice.group and block % self.choice.group[1]):
            raise UserError(
                f"sparsegpt: block={block} must hold whole groups of the pattern, and damping={damping} be above 0."
            )

    def __call__(self, subject: Subject, given: Given) -> None:
        left: set[str] = set(matrices(subject.model))

        @torch.no_grad()
        def change(name: str, part: nn.Linear, inputs: Any) -> None:
            if inputs.rows:
                pruned, _ = sparsegpt(part.weight, inputs.total, self.choice, self.block, self.damping)
                part.weight.copy_(pruned)
                left.discard(f"{name}.weight")

        layer_by_layer(subject.model, given.windows, Gram, change, given.done)
        tell(subject, left)
