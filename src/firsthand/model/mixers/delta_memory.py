"""What `delta` and `gated_delta` share: a short convolution, and a memory that is corrected by the delta rule."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from firsthand.model.mixers.heads import merge_heads, split_heads
from firsthand.model.mixers.segments import segments
from firsthand.ops.causal_convolution import causal_convolution
from firsthand.ops.delta_rule import delta_rule
from firsthand.ops.delta_rule.chunked import CHUNK
from firsthand.ops.rms_norm import rms_norm
from firsthand.ops.state import fresh_state
from firsthand.types import Place

EPS = 1e-6
"""Keeps lengths away from zero."""


@dataclass
class DeltaState:
    """What a row remembers, whatever its length: the convolution's last inputs, and a matrix for each head."""

    window: Float[Tensor, "batch past channels"]
    matrix: Float[Tensor, "batch heads d_key d_value"]
    document: Int[Tensor, " batch"] | None = None


class DeltaMemory(nn.Module):
    """For each of `n_heads` a matrix from keys of `d_head` to values of `d_value` numbers.

    Queries and keys have `n_key_heads`, and equal groups of neighbouring value heads share one. `negative_eigenvalues`
    lets beta reach 2, so that a token can turn a memory round instead of only fading it (arXiv 2411.12537).
    """

    def __init__(
        self, n_heads: int, n_key_heads: int, d_head: int, d_value: int, d_conv: int, negative_eigenvalues: bool
    ) -> None:
        super().__init__()
        self.n_heads, self.n_key_heads, self.d_head, self.d_value = n_heads, n_key_heads, d_head, d_value
        self.keys, self.values = n_key_heads * d_head, n_heads * d_value
        self.taps = nn.Parameter(torch.empty(2 * self.keys + self.values, d_conv).uniform_(-1, 1) / d_conv**0.5)
        self.most = 2 if negative_eigenvalues else 1
        self.gain = nn.Parameter(torch.ones(d_value))

    def initial_state(self, batch: int) -> DeltaState:
        """Of rows that have seen nothing. Matrices are fp32 at least: many small corrections add up in them."""
        channels, width = self.taps.shape
        matrix = fresh_state(self.taps, batch, self.n_heads, self.d_head, self.d_value)
        return DeltaState(self.taps.new_zeros(batch, width - 1, channels), matrix)

    def state_size(self) -> int:
        channels, width = self.taps.shape
        return channels * (width - 1) + self.d_head * self.values

    def flops(self, context_length: int) -> float:
        """Forward operations a token: the convolution, then in chunks three products with the state, four within the
        chunk and the inverse of its triangular system."""
        chunk = min(CHUNK, context_length)
        inner = 6 * self.d_head * self.d_value + 4 * chunk * (self.d_head + self.d_value) + chunk**2 / 3
        return 2.0 * self.taps.numel() + self.n_heads * inner

    def forward(
        self,
        features: Float[Tensor, "batch time channels"],
        beta: Float[Tensor, "batch time heads"],
        decay: Float[Tensor, "batch time heads"] | None,
        place: Place,
        state: DeltaState | None,
    ) -> tuple[Float[Tensor, "batch time values"], DeltaState | None]:
        """What each head reads, normed, and the new state.

        `features`: queries, keys and values, which get the convolution and SiLU here. `beta` before its sigmoid,
        `decay` as a logarithm.
        """
        window, matrix, document = (None, None, None) if state is None else (state.window, state.matrix, state.document)
        segment, document = segments(place, document)
        features, window = causal_convolution(features, self.taps, None, window, segment)
        query, key, value = torch.split(F.silu(features), [self.keys, self.keys, self.values], dim=-1)
        out, matrix = delta_rule(
            unit_heads(query, self.n_key_heads) * self.d_head**-0.5,
            unit_heads(key, self.n_key_heads),
            split_heads(value, self.n_heads),
            self.most * beta.sigmoid().transpose(1, 2),
            None if decay is None else decay.transpose(1, 2),
            matrix,
            segment,
        )
        read = merge_heads(rms_norm(out, self.gain.to(out.dtype), EPS))
        return read, None if state is None else DeltaState(window, matrix, document)


class DeltaMixer(nn.Module):
    """A mixer whose `memory` is all that it remembers, and all that it computes beside its weight matrices."""

    memory: DeltaMemory

    def initial_state(self, batch: int, length: int) -> DeltaState:
        return self.memory.initial_state(batch)

    def state_size(self, length: int) -> int:
        return self.memory.state_size()

    def mixing_flops(self, context_length: int) -> float:
        return self.memory.flops(context_length)


def unit_heads(x: Float[Tensor, "batch time channels"], n_heads: int) -> Float[Tensor, "batch heads time d_head"]:
    """Split into heads of length 1 each: x / sqrt(Σ x² + EPS)."""
    heads = split_heads(x, n_heads)
    size: int = heads.shape[-1]
    return rms_norm(heads, eps=EPS / size) * (1 / math.sqrt(size))
