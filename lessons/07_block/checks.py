"""What must hold, in teaching order: the bend and the feed-forward part; norms and block have files of their own."""

from pathlib import Path

import torch
from torch import nn

from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs, module
from firsthand.learn.grader.subject import Sign

# no two alike, and none a power of another
BATCH, TIME, D_MODEL, D_FF = 2, 5, 14, 22


def number(x: float, tanh: bool = False):
    return lambda parts: parts.gelu(torch.tensor([x], dtype=torch.float64), tanh)


GELU = Checks(
    call=lambda parts, x, tanh: parts.gelu(x, tanh),
    axes={"x": "batch time channels", "out": "batch time channels"},
    cases={
        "usual": lambda draw: {"x": 2 * draw.normal(BATCH, TIME, D_FF), "tanh": False},
        "tanh": lambda draw: {"x": 2 * draw.normal(BATCH, TIME, D_FF), "tanh": True},
        "numbers of 30": lambda draw: {"x": 30 * draw.normal(BATCH, TIME, D_FF), "tanh": False},
        "numbers of 30, tanh": lambda draw: {"x": 30 * draw.normal(BATCH, TIME, D_FF), "tanh": True},
    },
    borrowed=("gelu",),
    properties=(
        p.by_hand(
            "zero",
            number(0.0),
            torch.tensor([0.0], dtype=torch.float64),
            "gelu(0)",
            "It is x times a share, and 0 times anything is 0.",
            "Do you multiply by x?",
        ),
        p.by_hand(
            "one",
            number(1.0),
            torch.tensor([0.8413447460685429], dtype=torch.float64),
            "gelu(1)",
            "84.13 % of all normal numbers are below 1.",
            "Φ(1) = (1 + erf(1 / √2)) / 2: print it before you multiply.",
        ),
        p.by_hand(
            "one_by_tanh",
            number(1.0, True),
            torch.tensor([0.8411919906082768], dtype=torch.float64),
            "gelu(1, tanh=True)",
            "√(2/π) · (1 + 0.044715) is 0.8336, its tanh 0.6824, and half of 1.6824 is 0.8412.",
            "Compute the argument of tanh for x = 1, and print yours.",
        ),
        p.parity(
            "sides",
            lambda parts, x, tanh: parts.gelu(x, tanh) - parts.gelu(-x, tanh),
            lambda parts, x, tanh: x,
            "gelu(x) - gelu(-x) and x",
            "What is below x and what is below -x make up the whole: Φ(x) + Φ(-x) = 1.",
            "Look at the half, and at the sign within erf.",
        ),
        p.holds(
            "far_away",
            lambda given, out: (out - given["x"].clamp(min=0)).abs() < 1e-9,
            "At {where} x is far from zero, and your output is neither x (on the right) nor 0 (on the left).",
            "Nearly all normal numbers are below 20, and nearly none below -20.",
            "Print Φ(20) and Φ(-20).",
            changed=lambda given: given | {"x": 20 * given["x"].sign()},
        ),
        p.finite(),
        p.gradients("x"),
    ),
)


def mlp(parts, x, d_ff: int) -> nn.Module:
    d_model = x.shape[-1]
    module = parts.MLP(d_model, d_ff).to(x.dtype)
    shapes = {name: tuple(one.shape) for name, one in module.named_parameters()}
    if any(name.endswith("bias") for name in shapes):
        raise Sign(
            f"It has the parameters {', '.join(shapes)}.",
            "Most models of today have no biases here, and weights that are loaded bring none.",
            "nn.Linear(..., bias=False)",
            "bias",
        )
    inside = shapes.get("up.weight", (d_ff,))[0]
    if shapes == {"up.weight": (inside, d_model), "down.weight": (d_model, inside)} and inside != d_ff:
        raise Sign(
            f"With d_ff = {d_ff} up.weight has the shape {shapes['up.weight']}, and should have {(d_ff, d_model)}.",
            "How wide the inside is decides what a model costs, so it has to be what was asked for.",
            "nn.Linear(d_model, d_ff, bias=False), whatever d_ff is.",
            "d_ff",
        )
    return p.weights(module, {"up.weight": (d_ff, d_model), "down.weight": (d_model, d_ff)})


def tokens(draw: Draw, batch: int = BATCH, time: int = TIME) -> Inputs:
    return {"x": draw.normal(batch, time, D_MODEL), "d_ff": D_FF}


def think(parts, x, d_ff, factor: float = 1.0):
    found = mlp(parts, x, d_ff)(x if factor == 1.0 else factor * x)
    if not isinstance(found, tuple) or len(found) != 2:
        raise Sign(
            f"forward returned a {type(found).__name__}, not two things.",
            "A block takes apart what its feed-forward part returns: the output, and a loss to add.",
            "End it with: return y, no_extra_loss(x)",
            "one_thing",
        )
    return found


def ends(parts, x, d_ff, way: str):
    """The output where only channel 0 of the inside is at work, and its pre-activation is 3 or -3: by hand or asked."""
    module = mlp(parts, x, d_ff)
    with torch.no_grad():
        module.up.weight.zero_()
        module.up.weight[0, 0] = 3.0
        module.down.weight.zero_()
        module.down.weight[:, 0] = 1.0
    one = torch.zeros_like(x)
    one[..., 0] = torch.tensor([1.0, -1.0], dtype=x.dtype).repeat(x.shape[1])[: x.shape[1]]
    if way == "asked":
        return module(one)[0]
    bent = 3 * one[..., :1]
    return (bent * (1 + torch.erf(bent / 2**0.5)) / 2).expand_as(x)


FEED_FORWARD = Checks(
    call=think,
    axes={"x": "batch time d_model", "out.0": "batch time d_model", "out.1": ""},
    cases={
        "usual": tokens,
        "one token": lambda draw: tokens(draw, 1, 1),
        "large": lambda draw: tokens(draw) | {"factor": 10.0},
    },
    properties=(
        p.parameters(lambda parts, given: mlp(parts, given["x"], given["d_ff"])),
        p.isolation("x", "time", out="out.0", name="tokens_alone"),
        p.parity(
            "one_channel",
            lambda parts, x, d_ff: ends(parts, x, d_ff, "asked"),
            lambda parts, x, d_ff: ends(parts, x, d_ff, "by hand"),
            "With one channel inside that gets 3 or -3, your output and gelu(3) or gelu(-3)",
            "The bend between the two maps is all that makes them more than one map; what is added to x comes later.",
            "Three steps: up, gelu, down. Print what comes after each.",
        ),
        p.isolation("x", "batch", out="out.0"),
        p.gradients("x"),
        p.parameter_gradients(
            lambda parts, given: mlp(parts, given["x"], given["d_ff"]), lambda module, given: module(given["x"])
        ),
    ),
)


def beside(name: str) -> Checks:
    """The checks in another file of this folder."""
    checks: Checks = module(Path(__file__).with_name(name)).CHECKS
    return checks


CHECKS = {
    "norms": beside("norm_checks.py"),
    "gelu": GELU,
    "feed_forward": FEED_FORWARD,
    "block": beside("block_checks.py"),
}
