"""The linear maps of a packed model: weights in one precision or in few bits, laid out for the machine."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from firsthand.generate.native.codes import Codes, joined
from firsthand.ops.packed_linear import packed, packed_linear

FEW = 4
"""Up to so many rows step.c multiplies. With more, oneDNN's matrix products do, with step.c between them, and a weight
in few bits is there in full for a moment."""


class Product(nn.Module):
    """An nn.Linear for inference. `weight` stays at hand, for parts that read it or ask it about dtype and device."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.weight, self.bias = weight, bias
        self.layout, self.dtype = packed(weight), weight.dtype

    def forward(self, x: Float[Tensor, "*rows d_in"]) -> Float[Tensor, "*rows d_out"]:
        return packed_linear(x, self.layout, self.bias)

    multiply = forward


class Joined(nn.Module):
    """Several maps of one input as a single product: one call in place of three, and a longer read of memory."""

    def __init__(self, maps: Sequence[Any]) -> None:
        super().__init__()
        self.widths = [each.out_features for each in maps]
        self.layout, self.dtype = packed(torch.cat([each.weight for each in maps])), maps[0].weight.dtype
        self.bias = joined_bias(maps)

    def multiply(self, x: Float[Tensor, "*rows d_in"]) -> Float[Tensor, "*rows d_out"]:
        """The answers side by side."""
        return packed_linear(x, self.layout, self.bias)

    def forward(self, x: Float[Tensor, "*rows d_in"]) -> tuple[Float[Tensor, "*rows _"], ...]:
        return tuple(self.multiply(x).split_with_sizes(self.widths, -1))


class CodesProduct(nn.Module):
    """A linear map in few bits. It computes in `dtype`, but sums of a few rows are fp32."""

    def __init__(self, codes: Codes, bias: Tensor | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.out_features, self.in_features = codes.shape
        self.codes, self.bias, self.dtype = codes, bias, dtype

    @property
    def weight(self) -> Float[Tensor, "d_out d_in"]:
        """In full, made anew at each call."""
        return self.codes.unfold(self.dtype)

    def forward(self, x: Float[Tensor, "*rows d_in"]) -> Float[Tensor, "*rows d_out"]:
        if x.numel() <= FEW * self.in_features:
            return self.codes.multiply(x, self.bias)
        return packed_linear(x, packed(self.weight), self.bias)

    multiply = forward


class JoinedCodes(nn.Module):
    """Several maps in the same few bits as one. Each of them goes on as rows of it."""

    def __init__(self, maps: Sequence[CodesProduct]) -> None:
        super().__init__()
        self.widths = [each.out_features for each in maps]
        self.codes = joined([each.codes for each in maps])
        self.bias, self.dtype = joined_bias(maps), maps[0].dtype
        self.multiply = CodesProduct(self.codes, self.bias, self.dtype)
        start = 0
        for each in maps:
            each.codes = self.codes.rows(slice(start, start := start + each.out_features))

    def forward(self, x: Float[Tensor, "*rows d_in"]) -> tuple[Float[Tensor, "*rows _"], ...]:
        return tuple(self.multiply(x).split_with_sizes(self.widths, -1))


class Apart(nn.Module):
    """Maps of one input that cannot be one product, since their weights stand in different ways."""

    def __init__(self, maps: Sequence[nn.Module]) -> None:
        super().__init__()
        self.maps: Any = nn.ModuleList(maps)
        self.dtype = self.maps[0].dtype

    def multiply(self, x: Float[Tensor, "*rows d_in"]) -> Float[Tensor, "*rows d_out"]:
        return torch.cat(self(x), -1)

    def forward(self, x: Float[Tensor, "*rows d_in"]) -> tuple[Float[Tensor, "*rows _"], ...]:
        return tuple(each(x) for each in self.maps)


class CodesEmbedding(nn.Module):
    """An embedding in few bits, whose rows are made when they are asked for."""

    def __init__(self, codes: Codes, dtype: torch.dtype) -> None:
        super().__init__()
        self.vocab_size, self.d_model = codes.shape
        self.codes, self.dtype = codes, dtype

    @property
    def weight(self) -> Float[Tensor, "vocab_size d_model"]:
        return self.codes.unfold(self.dtype)

    def forward(self, ids: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch d_model"]:
        return self.codes.rows(ids.flatten()).unfold(self.dtype).view(*ids.shape, self.d_model)


def joined_bias(maps: Sequence[Any]) -> Tensor | None:
    """The biases side by side, zeros for a map without; None if none has one."""
    if all(each.bias is None for each in maps):
        return None
    like = next(each.bias for each in maps if each.bias is not None)
    return torch.cat([like.new_zeros(each.out_features) if each.bias is None else each.bias for each in maps])
