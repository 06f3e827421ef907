"""One matrix product for each group that has rows, written straight into the result.

How many rows a group has is known only when it runs, so the compiler is shown one node that it does not look into, and
tensors without memory pass through by their shapes.
"""

from collections.abc import Iterator

import torch
from torch import Tensor


def _slices(counts: Tensor) -> Iterator[tuple[int, slice]]:
    """The groups that have rows, and which rows."""
    start = 0
    for group, count in enumerate(counts.tolist()):
        if count:
            yield group, slice(start, start + count)
        start += count


@torch.library.custom_op("firsthand::grouped_linear", mutates_args=())
def grouped_linear(x: Tensor, weight: Tensor, counts: Tensor) -> Tensor:
    """See `firsthand.ops.grouped_linear.grouped_linear`."""
    y = x.new_empty(len(x), weight.shape[1])
    for group, rows in _slices(counts):
        torch.mm(x[rows], weight[group].t(), out=y[rows])
    return y


@torch.library.custom_op("firsthand::grouped_linear_backward", mutates_args=())
def _backward(gradient: Tensor, x: Tensor, weight: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    by_x, by_weight = torch.empty_like(x), torch.zeros_like(weight)
    for group, rows in _slices(counts):
        torch.mm(gradient[rows], weight[group], out=by_x[rows])
        torch.mm(gradient[rows].t(), x[rows], out=by_weight[group])
    return by_x, by_weight


@grouped_linear.register_fake
def _(x: Tensor, weight: Tensor, counts: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], weight.shape[1])


@_backward.register_fake
def _(gradient: Tensor, x: Tensor, weight: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(weight)


def _save(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs)


def _gradient(ctx, gradient):  # type: ignore[no-untyped-def]
    return *_backward(gradient.contiguous(), *ctx.saved_tensors), None


grouped_linear.register_autograd(_gradient, setup_context=_save)
