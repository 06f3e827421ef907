"""What must hold of schedule, in teaching order."""

import torch

from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Property
from firsthand.learn.grader.properties.oracle import reference


def curve(warmup: float, final: float):
    """The middles of 20 steps, at which the loop asks; the place where the warm-up ends is a property of its own."""
    return lambda draw: {"warmup": warmup, "final": final, "at": (torch.arange(20, dtype=draw.dtype) + 0.5) / 20}


def multipliers(parts, warmup, final, at):
    multiplier = parts.warmup_cosine(warmup, final)
    return torch.tensor([float(multiplier(fraction)) for fraction in at.tolist()], dtype=at.dtype)


def at(name: str, fraction: float, expected: float, why: str, todo: str, warmup: float = 0.2) -> Property:
    what = f"warmup_cosine({warmup}, 0.1), asked when {fraction:.0%} of the run is over,"
    read = lambda parts: float(parts.warmup_cosine(warmup, 0.1)(fraction))  # noqa: E731
    return p.start_value(name, read, expected, 1e-6, what, why, todo)


DOWN = "After the warm-up the cosine's angle goes from 0 to π, once, and the multiplier from 1 to `final`."

SCHEDULE = Checks(
    call=multipliers,
    axes={"at": "place", "out": "place"},
    cases={
        "usual": curve(0.2, 0.1),
        "no warm-up": lambda draw: curve(0.0, 0.1)(draw) | {"at": torch.linspace(0, 1, 21, dtype=draw.dtype)},
        "down to zero": curve(0.3, 0.0),
        "nearly all warm-up": curve(0.9, 0.25),
        "where the warm-up ends": lambda draw: {"warmup": 0.2, "final": 0.1, "at": draw.normal(1) * 0 + 0.2},
        "anywhere": lambda draw: {"warmup": 0.37, "final": 0.2, "at": draw.normal(13).sigmoid()},
    },
    edges=("no warm-up", "where the warm-up ends"),
    properties=(
        at("starts_at_zero", 0.0, 0.0, "The warm-up begins at a rate of 0.", "What is fraction / warmup at 0?"),
        at("half_way_up", 0.1, 0.5, "The warm-up is a straight line.", "Which number is divided by which?"),
        at("middle", 0.6, 0.55, DOWN, "At 0.6, half of the 0.8 after the warm-up is over: cos(π/2) is 0."),
        at("quarter", 0.4, 0.1 + 0.9 * 0.5 * (1 + 0.5**0.5), DOWN, "A quarter of the way down: cos(π/4) is 0.707."),
        at("end", 1.0, 0.1, "The run ends at `final`.", "Put fraction = 1 into your line: cos(π) is -1."),
        at(
            "peak", 0.2, 1.0, "Where the warm-up ends the rate is at its peak.", "Put fraction = warmup into your line."
        ),
        at("no_warmup_at_all", 0.0, 1.0, "Without a warm-up a run begins at its peak.", "Who divides by 0?", 0.0),
        p.holds(
            "only_down",
            lambda given, out: (out.diff() <= 1e-9) | (given["at"][:-1] < given["warmup"] - 1e-9),
            "After the warm-up the rate rises again ({where}).",
            "Late in a run, large steps undo what small ones found.",
            "Print the multiplier at 0.2, 0.4, 0.6, 0.8 and 1.",
        ),
        reference(1e-6),  # who computes with torch's fp32 is right too
    ),
)
