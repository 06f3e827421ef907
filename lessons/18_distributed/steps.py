"""Steps of several ranks, as the checks of this lesson ask for them."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from firsthand.learn.grader.checks import Draw, Inputs, module

HERE = Path(__file__)
Group, Net = module(HERE.with_name("group.py")).Group, module(HERE.with_name("net.py")).Net

TINY, SMALL, MIDDLE, LARGE = 1, 200, 300, 1 << 20


def step(parts, x, bucket_bytes, lucky, frozen=False, steps=1):
    """The gradients of each rank after a step. x (rank, microbatch, row, 3); `lucky`: the ranks that use `rare`."""
    found, _ = ranks(parts, x, bucket_bytes, lucky, frozen, steps)
    return {f"rank {rank}": one for rank, one in enumerate(found)}


def ranks(parts, x, bucket_bytes, lucky, frozen=False, steps=1):
    """And what the group saw. `early`: of each rank, the calls before its last backward pass was over; `first`: those
    before that pass had come to the first layer; `hooks`: how many of them hang on its parameters in the end.
    """
    group = Group(len(x))
    return step_in(group, parts, x, bucket_bytes, lucky, frozen, steps), group


def step_in(group, parts, x, bucket_bytes, lucky, frozen=False, steps=1):
    group.early, group.first, group.hooks = ([0] * len(x) for _ in range(3))

    def note(rank: int, before: int) -> None:
        group.first[rank] = len(group.calls[rank]) - before

    def job(rank: int) -> dict[str, Tensor | None]:
        with torch.enable_grad():
            model = Net(x.dtype, frozen)
            sums = parts.GradientSum(model, len(x), bucket_bytes, group.all_reduce(rank))
            for number in range(steps):
                model.zero_grad(set_to_none=True)
                for one in x[rank][:-1]:
                    model((1 + number) * one, rank in lucky).backward()
                before = len(group.calls[rank])
                with sums:
                    model.reached = partial(note, rank, before)
                    loss = model((1 + number) * x[rank][-1], rank in lucky)
                    group.busy[rank] = True
                    loss.backward()
                    group.busy[rank], model.reached = False, None
                    group.early[rank] = len(group.calls[rank]) - before
        group.hooks[rank] = sum(map(hooks, model.parameters()))
        return {name: None if one.grad is None else one.grad.clone() for name, one in model.named_parameters()}

    return group.run(job)


def hooks(parameter: nn.Parameter) -> int:
    """How many hang on it, of both kinds."""
    found = (getattr(parameter, name, None) for name in ("_post_accumulate_grad_hooks", "_backward_hooks"))
    return sum(len(one or ()) for one in found)


def inputs(world: int = 2, microbatches: int = 2, bucket_bytes: int = SMALL, lucky=None, **more):
    def make(draw: Draw) -> Inputs:
        x = draw.normal(world, microbatches, 4, 3)
        return {"x": x, "bucket_bytes": bucket_bytes, "lucky": range(world) if lucky is None else lucky} | more

    return make


def one_weight(parts, *rows: tuple[float, ...], used=None):
    """A single weight w and the loss w · x, microbatch by microbatch; of each rank its gradient."""
    group = Group(len(rows))

    def job(rank: int) -> float:
        with torch.enable_grad():
            model = nn.Linear(1, 1, bias=False, dtype=torch.float64)
            sums = parts.GradientSum(model, len(rows), LARGE, group.all_reduce(rank))
            for x in rows[rank][:-1]:
                model(torch.tensor([x], dtype=torch.float64)).sum().backward()
            with sums:
                if used is None or rank in used:
                    model(torch.tensor([rows[rank][-1]], dtype=torch.float64)).sum().backward()
        return float("nan") if model.weight.grad is None else float(model.weight.grad)

    return group.run(job)
