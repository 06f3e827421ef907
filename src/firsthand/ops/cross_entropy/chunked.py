"""The head and the cross-entropy together, a few rows at a time, so that the logits never leave the cache."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_NUMBERS = 1 << 20
"""About so many logits exist at once."""
FEWEST_ROWS = 256
"""Fewer would leave the matrix products without work, however large the vocabulary."""


class LinearCrossEntropy(torch.autograd.Function):
    """Summed nats. The gradients are made on the way forward, while a chunk's logits are at hand.

    All chunks share their memory: pages that are asked for anew cost more than what is computed in them.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, targets: Tensor, softcap: float | None) -> Tensor:
        wanted = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        x_grad = torch.empty_like(x) if wanted else None
        exact = torch.promote_types(x.dtype, torch.float32)
        nats = torch.zeros((), dtype=exact, device=x.device)
        # a frozen head (LoRA) has no use for its gradient, which is a third of the work
        weight_grad = torch.zeros_like(weight, dtype=exact) if ctx.needs_input_grad[1] else None
        rows = min(len(x), max(FEWEST_ROWS, CHUNK_NUMBERS // len(weight)))
        products = x.new_empty(rows, len(weight))
        logits_memory = products if exact == x.dtype else torch.empty_like(products, dtype=exact)
        for start in range(0, len(x), rows):
            here = slice(start, min(start + rows, len(x)))
            product, logits = (memory[: here.stop - start] for memory in (products, logits_memory))
            torch.mm(x[here], weight.t(), out=product)
            squeezed = None if softcap is None else product.div_(softcap).tanh_().clone()
            logits.copy_(product)  # nothing is moved where they are the same
            nats += _softmax_(logits if softcap is None else logits.mul_(softcap), targets[here])
            if x_grad is None:
                continue
            grad = product.copy_(logits)
            if squeezed is not None:
                grad = torch.ops.aten.tanh_backward(grad, squeezed)  # softcap and 1 / softcap cancel
            torch.mm(grad, weight, out=x_grad[here])
            if weight_grad is None:
                continue
            if grad.dtype == weight_grad.dtype:
                weight_grad.addmm_(grad.t(), x[here])
            else:  # a sum of many chunks needs more than bf16
                weight_grad += grad.t() @ x[here]
        ctx.save_for_backward(x_grad, None if weight_grad is None else weight_grad.to(weight.dtype))
        return nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        x_grad, weight_grad = ctx.saved_tensors
        weight_grad = None if weight_grad is None else weight_grad * grad.to(weight_grad.dtype)
        return x_grad * grad.to(x_grad.dtype), weight_grad, None, None


def _softmax_(logits: Tensor, targets: Tensor) -> Tensor:
    """The summed nats of logits (rows, vocab), which become what these change by: probabilities, less 1 at targets."""
    target = targets.unsqueeze(-1)
    largest, chosen = logits.amax(-1, keepdim=True), logits.gather(-1, target)
    total = logits.sub_(largest).exp_().sum(-1, keepdim=True)
    logits.mul_(total.reciprocal()).scatter_add_(-1, target, logits.new_full((), -1.0).expand_as(target))
    return (total.log() + largest - chosen).sum()
