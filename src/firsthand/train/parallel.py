"""Data parallelism: every rank has the whole model and its share of the batch; gradients are added up."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Ranks:
    """Who this process is among how many (one, unless torchrun started it)."""

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Writes files and speaks to the user."""
        return self.rank == 0

    def gather(self, values: list[float]) -> list[list[float]]:
        """The values of every rank, by rank. The one small exchange of a step."""
        if self.world == 1:
            return [values]
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        mine = torch.tensor(values, dtype=torch.float64, device=device)
        everyone = [torch.empty_like(mine) for _ in range(self.world)]
        dist.all_gather(everyone, mine)
        return [row.tolist() for row in everyone]

    def wait(self) -> None:
        """Return once every rank has come here."""
        if self.world > 1:
            dist.barrier()


@contextlib.contextmanager
def ranks(device: str) -> Iterator[Ranks]:
    """Join the group that torchrun made (NCCL on CUDA, else gloo), and leave it at the end."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks()
        return
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield Ranks(dist.get_rank(), world, int(os.environ.get("LOCAL_RANK", "0")))
    finally:
        dist.destroy_process_group()


class GradientSum:
    """Adds every rank's gradients, in buckets that travel while the backward pass still computes the next.

    Used as a context around the *last* microbatch's backward pass of a step; on leaving it, all gradients are sums
    over the ranks. The buckets are cut once, in reverse order of the parameters, and leave in that order even where a
    later one is complete earlier, so that every rank and every run adds the same in the same order. (Li et al. 2020,
    PyTorch Distributed, section 3.2.3.) `all_reduce`: called as torch.distributed's is, with async_op=True.
    """

    def __init__(
        self,
        model: nn.Module,
        world: int,
        bucket_bytes: int = 25 << 20,
        all_reduce: Callable[..., Any] = dist.all_reduce,
    ) -> None:
        self.world = world
        self._all_reduce = all_reduce
        self._pending: list[tuple[dist.Work, Tensor, list[nn.Parameter]]] = []
        self._bucket_of: dict[nn.Parameter, int] = {}
        self._buckets: list[list[nn.Parameter]] = [[]]
        self._waiting: list[int] = []
        self._active = False
        if world == 1:
            return
        size = 0
        for parameter in reversed([p for p in model.parameters() if p.requires_grad]):
            if size > bucket_bytes:
                self._buckets.append([])
                size = 0
            self._bucket_of[parameter] = len(self._buckets) - 1
            self._buckets[-1].append(parameter)
            size += parameter.numel() * parameter.element_size()
            parameter.register_post_accumulate_grad_hook(self._ready)  # type: ignore[no-untyped-call]

    def __enter__(self) -> "GradientSum":
        self._active = self.world > 1
        self._waiting = [len(bucket) for bucket in self._buckets]
        self._pending.clear()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._active or kind is not None:
            self._active = False
            return
        self._active = False
        while len(self._pending) < len(self._buckets):  # parameters that this batch did not use take part, with zeros
            self._send()
        for work, flat, parameters in self._pending:
            work.wait()
            offset = 0
            for parameter in parameters:
                assert parameter.grad is not None
                parameter.grad.copy_(flat[offset : offset + parameter.numel()].view_as(parameter))
                offset += parameter.numel()

    def _ready(self, parameter: nn.Parameter) -> None:
        if self._active:
            self._waiting[self._bucket_of[parameter]] -= 1
            while len(self._pending) < len(self._buckets) and self._waiting[len(self._pending)] == 0:
                self._send()

    def _send(self) -> None:
        parameters = self._buckets[len(self._pending)]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([parameter.grad.flatten() for parameter in parameters if parameter.grad is not None])
        self._pending.append((self._all_reduce(flat, async_op=True), flat, parameters))
