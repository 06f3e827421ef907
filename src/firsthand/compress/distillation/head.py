"""The head, the teacher's lesson and the cross-entropy together, a few rows at a time: two times all logits of a
vocabulary of 49 thousand words would be most of a step's memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from firsthand.compress.distillation.divergence import Divergence
from firsthand.ops.cross_entropy.chunked import CHUNK_NUMBERS, FEWEST_ROWS

IMPOSSIBLE = -1e4
"""ln p of what has no probability: finite, so that products with zero are zero."""
SMALLEST = 1e-7
"""What is left of a distribution beside its likeliest words is at least this: less drowns in the rounding of 1."""


@dataclass(frozen=True)
class Aim:
    """What a teacher says of some rows, heated: ln p of every word; or with `ids`, of so many words each.

    Then all other words count as one, which has the rest of the probability: what the student does among them is its
    own affair, but it cannot win by taking probability from there.
    """

    logs: Float[Tensor, "rows words"]
    ids: Int[Tensor, "rows words"] | None = None

    @staticmethod
    def of(logits: Float[Tensor, "rows vocab"], temperature: float, top_k: int | None = None) -> "Aim":
        """What these scores say at this temperature, of all words or of the `top_k` likeliest."""
        logs = torch.log_softmax(logits.float() / temperature, -1)
        if top_k is None or top_k >= logs.shape[-1]:
            return Aim(logs)
        likely = logs.topk(top_k, -1)
        return Aim(likely.values, likely.indices)


@dataclass(frozen=True)
class Lesson:
    """alpha · T² · D(teacher, student), both heated to the temperature T, + (1 - alpha) · -ln q(target)."""

    divergence: Divergence
    temperature: float = 1.0
    alpha: float = 0.5

    def __call__(
        self, logits: Float[Tensor, "rows vocab"], targets: Int[Tensor, " rows"], aim: Aim
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, "rows vocab"]]:
        """The sums of T² · D and of -ln q(target) over the rows, and the gradient of the weighed sum.

        `logits` are used up: they may have become the gradient.
        """
        if aim.ids is not None and self.temperature == 1:
            return self._in_place(logits, targets.unsqueeze(-1), aim)
        target, weight, own = targets.unsqueeze(-1), self.alpha * self.temperature, 1 - self.alpha  # T² · 1 / T
        plain = torch.log_softmax(logits, -1)
        heated = plain if self.temperature == 1 else torch.log_softmax(logits / self.temperature, -1)
        nats = -plain.gather(-1, target).sum()
        if aim.ids is None:
            value, gradient = self.divergence(heated, _widened(aim.logs, heated.shape[-1]))
            gradient = gradient.mul_(weight).add_(plain.exp_(), alpha=own)
        else:
            value, rest, likely = self._of_some(heated.gather(-1, aim.ids), aim)
            gradient = heated.exp_().mul_(weight * rest).add_(plain.exp_(), alpha=own)
            gradient.scatter_add_(-1, aim.ids, weight * likely)
        gradient.scatter_add_(-1, target, gradient.new_full((), -own).expand_as(target))
        return self.temperature**2 * value.sum(), nats, gradient

    def _in_place(self, logits: Tensor, target: Tensor, aim: Aim) -> tuple[Tensor, Tensor, Tensor]:
        """The same for stored words at temperature 1: both parts move the same probabilities, in the logits' memory."""
        assert aim.ids is not None
        own, largest = 1 - self.alpha, logits.amax(-1, keepdim=True)
        chosen, wanted = logits.gather(-1, aim.ids), logits.gather(-1, target)
        total = logits.sub_(largest).exp_().sum(-1, keepdim=True)
        normal = total.log() + largest
        value, rest, likely = self._of_some(chosen - normal, aim)
        gradient = logits.mul_((self.alpha * rest + own) / total).scatter_add_(-1, aim.ids, self.alpha * likely)
        gradient.scatter_add_(-1, target, gradient.new_full((), -own).expand_as(target))
        return value.sum(), (normal - wanted).sum(), gradient

    def _of_some(self, chosen: Tensor, aim: Aim) -> tuple[Tensor, Tensor, Tensor]:
        """The divergence over the likeliest words, of which `chosen` are ln q, and all others as one. dD/du of a word
        among these is its probability times the second thing returned; that of a likely word is the same and the third.
        """
        log_q, log_p = (torch.cat((logs, _left(logs)), -1) for logs in (chosen, aim.logs))
        value, bucket = self.divergence(log_q, log_p)
        rest = bucket[:, -1:] / log_q[:, -1:].exp()
        return value, rest, bucket[:, :-1] - chosen.exp() * rest


def _widened(logs: Float[Tensor, "rows words"], vocab_size: int) -> Float[Tensor, "rows vocab"]:
    """With next to no probability for the rows of a head that no word has."""
    missing = vocab_size - logs.shape[-1]
    return torch.nn.functional.pad(logs, (0, missing), value=IMPOSSIBLE) if missing else logs


def _left(logs: Float[Tensor, "rows words"]) -> Float[Tensor, "rows 1"]:
    """ln of the probability that these words leave over."""
    return (1 - logs.exp().sum(-1, keepdim=True)).clamp_min(SMALLEST).log()


class TaughtHead(torch.autograd.Function):
    """The lesson's weighed sum, and its two parts (which have no gradient), of the rows that enter a head.

    `aims(rows)` is what the teacher says of a slice of them. Gradients are made on the way forward, while a chunk's
    logits are at hand.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        targets: Tensor,
        aims: Callable[[slice], Aim],
        lesson: Lesson,
        softcap: float | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        exact = torch.promote_types(x.dtype, torch.float32)
        x_grad = torch.empty_like(x)
        weight_grad = torch.zeros_like(weight, dtype=exact) if ctx.needs_input_grad[1] else None
        soft, nats = (torch.zeros((), dtype=exact, device=x.device) for _ in range(2))
        rows = min(len(x), max(FEWEST_ROWS, CHUNK_NUMBERS // len(weight)))
        products = x.new_empty(rows, len(weight))  # the same memory for all chunks, as in ops/cross_entropy/chunked.py
        memory = products if exact == x.dtype else torch.empty_like(products, dtype=exact)
        for start in range(0, len(x), max(1, rows)):
            here = slice(start, min(start + rows, len(x)))
            product = torch.mm(x[here], weight.t(), out=products[: here.stop - start])
            logits = memory[: here.stop - start].copy_(product)
            squeezed = None if softcap is None else logits.div_(softcap).tanh_().clone()
            more_soft, more_nats, grad = lesson(
                logits if softcap is None else logits.mul_(softcap), targets[here], aims(here)
            )
            soft, nats = soft + more_soft, nats + more_nats
            product.copy_(grad if squeezed is None else torch.ops.aten.tanh_backward(grad, squeezed))
            torch.mm(product, weight, out=x_grad[here])
            if weight_grad is None:
                continue
            if product.dtype == weight_grad.dtype:
                weight_grad.addmm_(product.t(), x[here])
            else:  # a sum of many chunks needs more than bf16
                weight_grad += product.t() @ x[here]
        ctx.save_for_backward(x_grad, None if weight_grad is None else weight_grad.to(weight.dtype))
        ctx.mark_non_differentiable(soft, nats)
        return lesson.alpha * soft + (1 - lesson.alpha) * nats, soft, nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _soft: Tensor, _nats: Tensor) -> tuple[Tensor | None, ...]:
        x_grad, weight_grad = ctx.saved_tensors
        weight_grad = None if weight_grad is None else weight_grad * grad.to(weight_grad.dtype)
        return x_grad * grad.to(x_grad.dtype), weight_grad, None, None, None, None
