"""Norms: every token's vector is brought back to a usual size."""

from torch import Tensor, nn


class LayerNorm(nn.Module):
    """(x - mean) / sqrt(variance + eps) · gain + bias; mean and variance are those of the last axis.

    Parameters: gain (d_model), which begins as ones, and bias (d_model), zeros. The variance divides by d_model.
    The sums are made in fp32 if x comes in fp16 or bf16, whose squares overflow or lose digits; fp32 and fp64 stay as
    they are, and what is returned has the dtype of x.
    """

    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """x (..., d_model) to the same shape."""
        raise NotImplementedError


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + eps) · gain: nothing is subtracted, and there is no bias. Precision as above."""

    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """x (..., d_model) to the same shape."""
        raise NotImplementedError
