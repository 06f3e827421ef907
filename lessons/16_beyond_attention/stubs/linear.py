"""Attention without the softmax: two sums stand for everything that has been read."""

# ruff: noqa: F401 - what is imported here is for the holes below

import torch
from torch import Tensor


def normalized_linear_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    memory: Tensor | None = None,
    total: Tensor | None = None,
    eps: float = 1e-6,
) -> tuple[Tensor, Tensor, Tensor]:
    """out_i = (sum of (q_i . k_j) v_j) / (sum of q_i . k_j, plus eps), both over j <= i; and two sums to go on with.

    query and key are (batch, heads, time, d_key), value is (batch, heads, time, d_value). Query and key have been
    through the feature map: none of their numbers is negative.

    memory: (batch, heads, d_key, d_value), the sum of k_j v_j^T over the tokens read before these; None: zeros.
    total: (batch, heads, d_key, 1), the sum of k_j over the same tokens; None: zeros.

    Returns out (batch, heads, time, d_value), and memory and total with these tokens added. They are of the same size
    however many tokens have been read.
    """
    raise NotImplementedError
