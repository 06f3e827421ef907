"""Every rank has the whole model and a share of the batch. What is left to do: add up the gradients."""

from collections.abc import Callable
from types import TracebackType
from typing import Any

import torch.distributed as dist
from torch import nn


class GradientSum:
    """A context around the last backward pass of a step. On leaving it, every gradient is the sum over all ranks.

        with sums:
            loss.backward()

    What earlier backward passes of the step have left in .grad, outside of the context, is part of the sum.

    Gradients travel in buckets: several of them, flattened and put one behind the other, about `bucket_bytes` of them
    at a time (the last is smaller, and one gradient alone may be larger). A bucket leaves as soon as its gradients are
    there, while the backward pass still computes the others; that is what a parameter's
    register_post_accumulate_grad_hook is for, and why buckets are cut in reverse order of the parameters.

    `all_reduce(flat, async_op=True)` sends a tensor of one axis on its way and returns at once; `.wait()` of what it
    returns comes back when the sum over all ranks stands in that tensor. All ranks have to send the same buckets, in
    the same order: otherwise they wait for one another for ever. So a parameter that this rank's batch did not use
    takes part with zeros. Frozen parameters (requires_grad is False) have no gradient, and stay out of it.

    With world == 1 nothing is sent. If the block raises an error, nothing more is sent and the error goes on.
    """

    def __init__(
        self,
        model: nn.Module,
        world: int,
        bucket_bytes: int = 25 << 20,
        all_reduce: Callable[..., Any] = dist.all_reduce,
    ) -> None:
        raise NotImplementedError

    def __enter__(self) -> "GradientSum":
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError
