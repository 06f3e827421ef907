"""The head and the cross-entropy together, a few rows at a time, so that the logits never leave the cache."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_NUMBERS = 1 << 20
"""About so many logits exist at once."""


class LinearCrossEntropy(torch.autograd.Function):
    """Summed nats. The gradients are made on the way forward, while a chunk's logits are at hand.

    `counted`: which targets are not ignored; None: all.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, targets: Tensor, counted: Tensor | None, softcap: float | None
    ) -> Tensor:
        wanted = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        x_grad = torch.empty_like(x) if wanted else None
        nats = torch.zeros((), dtype=torch.promote_types(x.dtype, torch.float32), device=x.device)
        # a frozen head (LoRA) has no use for its gradient, which is a third of the work
        weight_grad = torch.zeros_like(weight, dtype=nats.dtype) if ctx.needs_input_grad[1] else None
        rows = max(256, CHUNK_NUMBERS // len(weight))
        for start in range(0, len(x), rows):
            here = slice(start, start + rows)
            logits = x[here] @ weight.t()
            squeezed = logits.div_(softcap).tanh_() if softcap is not None else logits
            logits = (squeezed if softcap is None else squeezed * softcap).to(nats.dtype)
            log_probabilities = logits.log_softmax(-1)
            target = targets[here].unsqueeze(-1)
            chosen = log_probabilities.gather(-1, target)
            nats -= (chosen if counted is None else chosen.masked_fill_(~counted[here, None], 0.0)).sum()
            if x_grad is None:
                continue
            # d nats / d logits is the probabilities, less one at the target
            grad = log_probabilities.exp_()
            grad.scatter_add_(-1, target, grad.new_full((), -1.0).expand_as(target))
            grad = (grad if counted is None else grad.masked_fill_(~counted[here, None], 0.0)).to(x.dtype)
            if softcap is not None:
                grad = torch.ops.aten.tanh_backward(grad, squeezed)  # softcap and 1 / softcap cancel
            torch.mm(grad, weight, out=x_grad[here])
            if weight_grad is None:
                continue
            if grad.dtype == weight_grad.dtype:
                weight_grad.addmm_(grad.t(), x[here])
            else:  # a sum of many chunks needs more than bf16
                weight_grad += grad.t() @ x[here]
        if weight_grad is not None:
            weight_grad = weight_grad.to(weight.dtype)
        ctx.save_for_backward(x_grad, weight_grad)
        return nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None, None, None]:
        x_grad, weight_grad = ctx.saved_tensors
        weight_grad = None if weight_grad is None else weight_grad * grad.to(weight_grad.dtype)
        return x_grad * grad.to(x_grad.dtype), weight_grad, None, None, None
