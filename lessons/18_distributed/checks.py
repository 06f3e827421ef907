"""Gradients of several ranks, added up: what must hold, in teaching order."""

import contextlib
from pathlib import Path

import torch

from firsthand.contracts.finding import Broken
from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Property, module
from firsthand.learn.grader.subject import Sign

HERE = Path(__file__)
steps = module(HERE.with_name("steps.py"))
Group, Net, inputs, one_weight, ranks, step = (
    getattr(steps, name) for name in ("Group", "Net", "inputs", "one_weight", "ranks", "step")
)
TINY, SMALL, MIDDLE, LARGE = steps.TINY, steps.SMALL, steps.MIDDLE, steps.LARGE


def one_big_batch(parts, x, bucket_bytes, lucky, frozen=False):
    """What a single process has that computes all microbatches."""
    with torch.enable_grad():
        model = Net(x.dtype, frozen)
        for rank, mine in enumerate(x):
            for one in mine:
                model(one, rank in lucky).backward()
    return [one.grad for one in model.parameters() if one.requires_grad]


def of_rank(number: int):
    def gradients(parts, **given):
        found = ranks(parts, **given)[0][number]
        return [one for one in found.values() if one is not None]

    return gradients


def sent(parts, **given) -> int:
    """How many calls rank 0 makes."""
    _, group = ranks(parts, **given)
    return len(group.calls[0])


def rare_later(number: int):
    """The sizes of a rank's calls. Rank 1 never gets the gradient of the bucket in the middle."""

    def sizes(parts, **given):
        group = Group(2)
        with contextlib.suppress(Broken):  # calls of unequal sizes are just what is looked for
            steps.step_in(group, parts, given["x"], TINY, (0,))
        return group.calls[number]

    return sizes


def reads(subject) -> None:
    """Every all-reduce is waited for."""
    _, group = subject.within(lambda parts: ranks(parts, **subject.inputs()))
    if any(group.unread):
        raise Broken(
            f"Rank 0 sent {len(group.calls[0])} buckets, and waited for {len(group.calls[0]) - group.unread[0]}.",
            "all_reduce with async_op=True comes back at once. Before wait() the tensor may hold anything.",
            "Keep what all_reduce returns, and call wait() on each at the end.",
        )


def alone(parts) -> int:
    """How often a single rank sends."""
    group = Group(1)

    def job(rank: int) -> None:
        with torch.enable_grad():
            model = Net(torch.float64)
            with parts.GradientSum(model, 1, SMALL, group.all_reduce(rank)):
                model(torch.ones(2, 3, dtype=torch.float64), True).backward()

    group.run(job)
    return len(group.calls[0])


def after_error(subject) -> None:
    """An error in the block comes out, and nothing is sent behind it."""
    group = Group(2)

    def job(parts, rank: int) -> bool:
        try:
            with parts.GradientSum(Net(torch.float64), 2, SMALL, group.all_reduce(rank)):
                raise ZeroDivisionError
        except ZeroDivisionError:
            return True
        return False

    came_out = subject.within(lambda parts: group.run(lambda rank: job(parts, rank)))
    if not all(came_out):
        raise Sign(
            "An error is raised in the block, and does not come out of it.",
            "Training would go on as if this step had been done.",
            "__exit__ returns None. If it returns True, Python drops the error.",
            "hidden",
        )
    if any(group.calls):
        raise Sign(
            "After an error in the block gradients are sent.",
            "The other ranks may be anywhere; whoever waits for them now never tells of the error.",
            "__exit__: if kind is not None, clear up and return.",
            "sent",
        )


def hooks_stay(subject) -> None:
    """Three steps leave as many hooks as one."""
    one, three = (
        subject.within(lambda parts, count=count: ranks(parts, **subject.inputs(), steps=count))[1].hooks[0]
        for count in (1, 3)
    )
    if three > one:
        raise Broken(
            f"After one step {one} hooks hang on the parameters, and after three steps {three}.",
            "Every step adds some, and every backward pass calls them all: a long run becomes slower and slower.",
            "Register them once, in __init__; or keep what register gives you, and call .remove() on it in __exit__.",
        )


def travels_early(subject) -> None:
    """The first bucket leaves before the backward pass has come to the first layer, and nobody waits meanwhile."""
    _, group = subject.within(lambda parts: ranks(parts, **subject.inputs(bucket_bytes=TINY)))
    if not group.early[0]:
        raise Sign(
            "All buckets leave after the backward pass.",
            "The network is idle while gradients are computed, and the processor while they travel.",
            "Send a bucket from the hook that gets its last gradient.",
            "end",
        )
    if group.blocked[0]:
        raise Sign(
            f"Rank 0 waits {group.blocked[0]} times while its backward pass is under way.",
            "It computes nothing meanwhile, so that nothing overlaps: all has only been moved to an earlier place.",
            "In the hook: all_reduce(flat, async_op=True), and keep what it returns. wait() belongs into __exit__.",
            "waits",
        )
    if not group.first[0]:
        raise Sign(
            "No bucket leaves before the backward pass has come to the first layer, where it ends.",
            "The first bucket to leave holds the gradients of the first layer, which come last.",
            "Cut the buckets in reverse order of the parameters.",
            "order",
        )


def packs(subject) -> None:
    """Neither everything one by one, nor everything at once."""

    def calls(size: int) -> int:
        _, group = subject.within(lambda parts: ranks(parts, **subject.inputs(bucket_bytes=size)))
        return len(group.calls[0])

    small, large = calls(TINY), calls(LARGE)
    if large > 1 or small < 3:
        raise Sign(
            f"Five gradients travel in {small} buckets if bucket_bytes is {TINY}, and in {large} if it is {LARGE}.",
            "Every call costs the time of a message, however short; one single call can begin only at the end.",
            "Begin a new bucket when the one at hand holds more than bucket_bytes.",
            "each" if large > 1 else "one",
        )
    middle = calls(MIDDLE)
    if not 2 <= middle <= 3:
        raise Sign(
            f"Gradients of 552 bytes travel in {middle} buckets if bucket_bytes is {MIDDLE}.",
            "bucket_bytes says how much travels at a time, and what a network carries is bytes, several a number.",
            "Add up numel() * element_size(), and begin from 0 with every new bucket.",
            "few" if middle < 2 else "many",
        )


GRADIENT_SUM = Checks(
    call=step,
    cases={
        "usual": inputs(),
        "three ranks, a gradient a bucket": inputs(3, bucket_bytes=TINY),
        "one bucket": inputs(microbatches=1, bucket_bytes=LARGE),
        "a parameter that only rank 0 uses": inputs(lucky=(0,)),
        "the same, a gradient a bucket": inputs(lucky=(0,), bucket_bytes=TINY),
        "a parameter that nobody uses": inputs(lucky=(), bucket_bytes=TINY),
        "a frozen parameter": inputs(frozen=True),
        "two steps": inputs(steps=2),
        "alone": inputs(1),
    },
    edges=("a parameter that nobody uses", "two steps"),
    borrowed=("DistributedDataParallel",),
    properties=(
        p.by_hand(
            "sum",
            lambda parts: one_weight(parts, (2.0,), (3.0,)),
            [5.0, 5.0],
            "A weight w, the loss w · 2 on rank 0 and w · 3 on rank 1: the gradient on both",
            "Added up, and divided by the targets of all ranks later, once: shares may have unequal sizes.",
            "Print the gradients of both ranks before and after: is something missing, or divided?",
        ),
        p.by_hand(
            "microbatches",
            lambda parts: one_weight(parts, (1.0, 2.0), (3.0, 4.0)),
            [10.0, 10.0],
            "Two microbatches a rank, 1 and 2 on rank 0, 3 and 4 on rank 1: the gradient on both",
            "The first ones are added up at home, in .grad; only the whole travels, once a step.",
            "Send .grad as it is when the last backward pass reaches it, and put the sum in its place.",
        ),
        p.parity(
            "one_big_batch",
            of_rank(0),
            one_big_batch,
            "The gradients on rank 0 and those of one process that computes everything",
            "That is the promise: as many ranks as you like, the same step.",
            "Which parameters differ? Pack and unpack in the same order, and move on by numel() each time.",
        ),
        p.parity(
            "ranks_agree",
            of_rank(0),
            of_rank(1),
            "The gradients on rank 0 and on rank 1",
            "Weights are never sent. They stay equal because the same is done to them everywhere.",
            "The sum has to go back into .grad of every parameter, on every rank.",
        ),
        Property("waits", reads),
        p.parity(
            "two_steps",
            lambda parts, **given: sent(parts, **given, steps=2),
            lambda parts, **given: 2 * sent(parts, **given, steps=1),
            "How many buckets travel in two steps, and twice as many as in one,",
            "One object serves all steps, and sends within its context alone: what happens outside of it is at home.",
            "Set counters back in __enter__, and remove your hooks in __exit__.",
        ),
        Property("hooks", hooks_stay),
        p.by_hand(
            "unused",
            lambda parts: one_weight(parts, (2.0,), (3.0,), used=(0,)),
            [2.0, 2.0],
            "A weight that only rank 0 uses (its gradient is 2): the gradient on both",
            "Experts, and heads for some tasks only, are used by some batches and not by others.",
            "On leaving: whatever has not been sent is sent now, with zeros where .grad is None.",
        ),
        p.parity(
            "same_order",
            rare_later(0),
            rare_later(1),
            "With a parameter that only rank 0 uses, a gradient a bucket: how many numbers each call sends on rank 0, "
            "and on rank 1,",
            "An all-reduce has no name: what comes second on one rank is added to what comes second on the other.",
            "A bucket leaves when it is complete and all buckets before it have left; the rest leaves in __exit__.",
        ),
        p.holds(
            "frozen",
            lambda given, out: all(one["bias"] is None for one in out.values()),
            "A frozen parameter has got a gradient.",
            "The optimizer would move it, if only by its weight decay; and zeros would travel for nothing.",
            "Take only parameters whose requires_grad is True.",
            case="a frozen parameter",
        ),
        p.by_hand(
            "alone",
            alone,
            0,
            "The number of all-reduces of a single rank",
            "Without torchrun there is no group to send to: the same loop has to run on a laptop.",
            "If world is 1: register nothing, and do nothing on leaving.",
        ),
        Property("error", after_error),
        Property("overlap", travels_early, warns=True),
        Property("buckets", packs, warns=True),
    ),
)

CHECKS = {"gradient_sum": GRADIENT_SUM}
