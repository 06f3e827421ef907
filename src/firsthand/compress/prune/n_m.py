"""N:M sparsity: of every M neighbours in a row, N stay (Mishra et al., arXiv 2104.08378)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from firsthand.errors import UserError


def mask_2_of_4(weight: Float[Tensor, "d_out d_in"]) -> Bool[Tensor, "d_out d_in"]:
    """True for the two largest sizes of every four neighbours in a row; of equal ones the earlier stay.

    UserError if rows are not whole fours.
    """
    return mask_n_of_m(weight.detach().abs(), 2, 4)


def mask_n_of_m(score: Float[Tensor, "d_out d_in"], n: int, m: int) -> Bool[Tensor, "d_out d_in"]:
    """True for the `n` largest scores of every `m` neighbours in a row. UserError if rows are not whole groups."""
    if not 0 < n <= m or score.shape[1] % m:
        raise UserError(f"{n} of every {m} cannot stay in rows of {score.shape[1]} weights: they must be whole groups.")
    best = score.reshape(len(score), -1, m).argsort(dim=-1, descending=True, stable=True)[..., :n]
    mask = torch.zeros(*best.shape[:2], m, dtype=torch.bool, device=score.device)
    return mask.scatter_(-1, best, True).flatten(1)
