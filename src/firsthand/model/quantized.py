"""Parts whose weight stands in few bits. They compute as it says; generate/packed.py lays them out for speed."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from firsthand.errors import DamagedError
from firsthand.ops.int8_product import int8_product, rounded_rows
from firsthand.ops.quantized import Quantized
from firsthand.ops.quantized.int8_rows import Int8Rows


class Kept(nn.Module):
    """A weight in few bits: its tensors are buffers, so that they move and are saved with the model."""

    def __init__(self, quantized: Quantized) -> None:
        super().__init__()
        self.format, self.shape = quantized.format, quantized.shape
        for name, tensor in quantized.tensors.items():
            self.register_buffer(name, tensor, persistent=False)  # opened by what the checkpoint says, not by name

    def _apply(self, fn: Any, recurse: bool = True) -> "Kept":
        """A model that is cast to another precision keeps its codes and scales: only devices change."""
        before = dict(self._buffers)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, tensor in before.items():
            if tensor is not None and tensor.dtype != self._buffers[name].dtype:  # type: ignore[union-attr]
                self._buffers[name] = tensor.to(self._buffers[name].device)  # type: ignore[union-attr]
        return self

    @property
    def quantized(self) -> Quantized:
        return Quantized(self.format, self.shape, dict(self._buffers))  # type: ignore[arg-type]

    @property
    def weight(self) -> Float[Tensor, "d_out d_in"]:
        """The numbers that are multiplied with, made anew at each call."""
        return self.quantized.full()


class QuantizedLinear(Kept):
    """x Wᵀ + b, where W is what its format keeps of a weight: that of `linear` to the nearest unless given."""

    def __init__(self, linear: Any, format: Any = None, quantized: Quantized | None = None) -> None:
        super().__init__(quantized or Quantized.of(linear.weight, format))
        self.out_features, self.in_features = self.shape
        self.bias: nn.Parameter | None = linear.bias

    def forward(self, x: Float[Tensor, "*rows d_in"]) -> Float[Tensor, "*rows d_out"]:
        return F.linear(x, self.weight.to(x.dtype), self.bias)


class Int8Linear(QuantizedLinear):
    """A linear map that rounds each row of its input to 8 bits too, and multiplies whole numbers (ops/int8_product.py).

    (x̂ Ŵᵀ) · s · t + b, with a scale s for each row of x and t for each row of W.
    """

    def forward(self, x: Float[Tensor, "*rows d_in"]) -> Float[Tensor, "*rows d_out"]:
        codes, scales = rounded_rows(x)
        tensors = self.quantized.tensors
        y = int8_product(codes, tensors["codes"]).mul_(scales).mul_(tensors["scales"].float().squeeze(1)).to(x.dtype)
        return y if self.bias is None else y + self.bias


class QuantizedEmbedding(Kept):
    """An embedding whose rows stand in few bits. A tied head multiplies with its `weight`."""

    def __init__(self, embedding: Any, format: Any = None, quantized: Quantized | None = None) -> None:
        super().__init__(quantized or Quantized.of(embedding.weight, format))
        self.vocab_size, self.d_model = self.shape

    def forward(self, ids: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch d_model"]:
        rows, where = ids.unique(return_inverse=True)  # type: ignore[no-untyped-call]
        return self.rows(rows)[where]

    def rows(self, ids: Int[Tensor, " rows"]) -> Float[Tensor, "rows d_model"]:
        """The vectors of these tokens. Formats whose tensors have a row for each are read there alone."""
        tensors = self.quantized.tensors
        if all(tensor.ndim == 2 and len(tensor) == self.vocab_size for tensor in tensors.values()):
            some = {name: tensor[ids] for name, tensor in tensors.items()}
            return Quantized(self.format, (len(ids), self.d_model), some).full()
        return self.weight[ids]


def quantized_parts(model: nn.Module) -> Iterator[tuple[str, Kept]]:
    """Every part whose weight stands in few bits, by its name."""
    return ((name, part) for name, part in model.named_modules() if isinstance(part, Kept))


@torch.no_grad()
def put(model: nn.Module, name: str, quantized: Quantized) -> None:
    """Let the linear map or embedding called `name` have this weight. DamagedError if none of its shape is there."""
    parent, _, last = name.rpartition(".")
    before: Any = model.get_submodule(name) if name in dict(model.named_modules()) else None
    known = isinstance(before, nn.Linear | nn.Embedding | Kept)
    shape = tuple(getattr(before, "shape", None) or before.weight.shape) if known else None
    if shape != quantized.shape:
        raise DamagedError(
            f"A weight in few bits is {list(quantized.shape)} and called {name!r:.80}; the model has "
            f"{list(shape) if shape else 'no map or table'} there."
        )
    if isinstance(before, nn.Embedding | QuantizedEmbedding):
        kind: Any = QuantizedEmbedding
    else:
        kind = Int8Linear if isinstance(quantized.format, Int8Rows) else QuantizedLinear
    part = kind(before, quantized=quantized).train(before.training)
    setattr(model.get_submodule(parent), last, part)
