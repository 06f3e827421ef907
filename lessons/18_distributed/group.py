"""Several ranks as threads of one process: an all-reduce without a network, and with a word on who is stuck."""

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from firsthand.contracts.finding import Broken
from firsthand.learn.grader.subject import Sign

PATIENCE = 5.0


class Group:
    """`calls`: of each rank, how many numbers it has sent in each call. `unread`: how often it did not wait. `busy`:
    whether its backward pass is under way; `blocked`: how often it waited meanwhile.
    """

    def __init__(self, world: int) -> None:
        self.world = world
        self.calls: list[list[int]] = [[] for _ in range(world)]
        self.unread = [0] * world
        self.busy, self.blocked = [False] * world, [0] * world
        self._sent: list[list[Tensor]] = [[] for _ in range(world)]
        self._idle: dict[int, int | None] = {}
        self._change = threading.Condition()

    def run(self, job: Callable[[int], Any]) -> list[Any]:
        """job(rank) of every rank, at once; the first rank's error first, but what somebody is stuck on last."""
        found: dict[int, Any] = {}
        errors: dict[int, BaseException] = {}

        def one(rank: int) -> None:
            try:
                found[rank] = job(rank)
            except BaseException as error:
                errors[rank] = error
            with self._change:
                self._idle[rank] = None
                self._change.notify_all()

        threads = [threading.Thread(target=one, args=(rank,), daemon=True) for rank in range(self.world)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise min(errors.items(), key=lambda each: (isinstance(each[1], Sign), each[0]))[1]
        return [found[rank] for rank in range(self.world)]

    def all_reduce(self, rank: int) -> Callable[..., "Work | None"]:
        """What rank `rank` is given as all_reduce."""

        def send(tensor: Tensor, *_: Any, async_op: bool = False, **__: Any) -> "Work | None":
            if not isinstance(tensor, Tensor):
                raise Broken(
                    f"all_reduce was given a {type(tensor).__name__}, not a tensor.",
                    "What travels is numbers, one behind the other.",
                    "Flatten the gradients of a bucket and torch.cat them.",
                )
            with self._change:
                self.calls[rank].append(tensor.numel())
                self._sent[rank].append(tensor.detach().clone())
                self.unread[rank] += 1
                self._change.notify_all()
            work = Work(self, rank, len(self._sent[rank]) - 1, tensor)
            if async_op:
                with torch.no_grad():
                    tensor.fill_(torch.nan)  # until the sum has arrived it may hold anything
                return work
            work.wait()
            return None

        return send

    def total(self, rank: int, number: int) -> Tensor:
        """The sum of every rank's call `number`, once all have made it. Broken if somebody never will."""
        with self._change:
            self._idle[rank] = number
            self._change.notify_all()
            while not self._complete(number):
                if self._stuck() or not self._change.wait(PATIENCE):
                    raise self._words(rank, number)
            del self._idle[rank]
        sent = [mine[number] for mine in self._sent]
        sizes = [tensor.numel() for tensor in sent]
        if len(set(sizes)) > 1:
            raise Sign(
                f"As call {number + 1} the ranks send {' and '.join(map(str, sizes))} numbers.",
                "Ranks add up what comes first, second, third: on all of them that has to be the same gradients.",
                "Cut the buckets once, from the parameters, which are the same everywhere; fill with zeros.",
                "sizes",
            )
        return torch.stack(sent).sum(0)

    def _complete(self, number: int) -> bool:
        return all(len(mine) > number for mine in self._sent)

    def _stuck(self) -> bool:
        waiting = [number for number in self._idle.values() if number is not None]
        return len(self._idle) == self.world and not any(map(self._complete, waiting))

    def _words(self, rank: int, number: int) -> Broken:
        missing = [other for other, mine in enumerate(self._sent) if len(mine) <= number]
        return Sign(
            f"Rank {rank} waits for its all-reduce number {number + 1}, and rank {' and '.join(map(str, missing))} "
            f"never makes one.",
            "Two real processes would now wait for one another for ever: no error, no progress.",
            "Which gradient has the one rank and the other not? Whoever has none sends zeros.",
            "stuck",
        )


class Work:
    """What torch.distributed calls so: something under way."""

    def __init__(self, group: Group, rank: int, number: int, tensor: Tensor) -> None:
        self._group, self._rank, self._number, self._tensor = group, rank, number, tensor
        self._done = False

    def wait(self, *_: Any, **__: Any) -> bool:
        if not self._done:
            self._group.blocked[self._rank] += self._group.busy[self._rank]
            total = self._group.total(self._rank, self._number)
            with torch.no_grad():
                self._tensor.copy_(total.view_as(self._tensor))
            self._group.unread[self._rank] -= 1
            self._done = True
        return True

    def is_completed(self) -> bool:
        return self._done
