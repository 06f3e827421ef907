"""The selective scan in tiles, as two operators of torch's own kind.

A compiler or a tracer then takes each pass as one step, whatever the length, and need not follow it inside.
"""

from typing import Any

import torch
from torch import Tensor

from firsthand.ops.selective_scan import tiles

FORGET = 1e30
"""A step so long that nothing survives it at any rate below zero; times any rate it is still finite."""

_scan = torch.library.custom_op("firsthand::selective_scan", tiles.scan, mutates_args=())
_scan_backward = torch.library.custom_op("firsthand::selective_scan_backward", tiles.scan_backward, mutates_args=())


def selective_scan(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor, segment: Tensor | None
) -> tuple[Tensor, Tensor]:
    """See `firsthand.ops.selective_scan`. A new segment begins with a step that forgets everything."""
    step = dt
    if segment is not None:
        border = torch.diff(segment, prepend=torch.zeros_like(segment[:, :1])) != 0
        step = torch.where(border.unsqueeze(-1), FORGET, dt)
    given = (dt * x, step, A.t().contiguous(), B, C, state.mT.contiguous())
    keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given)
    y, after, _ = _scan(*given, keep)
    return y, after.mT


@_scan.register_fake
def _shapes(
    inflow: Tensor, step: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor, keep: bool
) -> tuple[Tensor, Tensor, Tensor]:
    chunks = -(-inflow.shape[1] // tiles.CHUNK) if keep else 0
    return torch.empty_like(inflow), torch.empty_like(state), state.new_empty(chunks, *state.shape)


@_scan_backward.register_fake
def _backward_shapes(
    y_grad: Tensor, after_grad: Tensor, inflow: Tensor, step: Tensor, A: Tensor, B: Tensor, C: Tensor, kept: Tensor
) -> tuple[Tensor, ...]:
    return tuple(torch.empty_like(tensor) for tensor in (inflow, step, A, B, C, after_grad))


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)  # nobody asks for the gradient of the kept states, so it need not be made
    ctx.save_for_backward(*inputs[:6], output[2])


def _backward(ctx: Any, y_grad: Tensor | None, after_grad: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
    *inputs, state, kept = ctx.saved_tensors
    y_grad = torch.zeros_like(inputs[0]) if y_grad is None else y_grad.contiguous()
    after_grad = torch.zeros_like(state) if after_grad is None else after_grad.contiguous()
    with torch.autocast(state.device.type, enabled=False):
        return (*_scan_backward(y_grad, after_grad, *inputs, kept), None)


_scan.register_autograd(_backward, setup_context=_save)
