"""Norms: what must hold, in teaching order."""

import torch
from torch import nn

from firsthand.contracts.finding import Broken
from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs, Property
from firsthand.learn.grader.subject import Sign

# no two alike, and none a power of another
BATCH, TIME, D_MODEL = 2, 5, 14


def norm(kind: str, parts, d_model: int, eps: float | None = None, dtype=torch.float64) -> nn.Module:
    """A new norm, "layer" or "rms", with the eps asked for or its own."""
    made = parts.LayerNorm if kind == "layer" else parts.RMSNorm
    return (made(d_model) if eps is None else made(d_model, eps)).to(dtype)


def trained(kind: str, parts, x, eps: float | None = None) -> nn.Module:
    shapes = {"gain": (x.shape[-1],)} | ({"bias": (x.shape[-1],)} if kind == "layer" else {})
    return p.weights(norm(kind, parts, x.shape[-1], eps, x.dtype), shapes)


def both(parts, x, eps=None):
    return {kind: trained(kind, parts, x, eps)(x) for kind in ("layer", "rms")}


def rows(draw: Draw, scale: float = 1.0, shift: float = 0.0, **more) -> Inputs:
    return {"x": scale * draw.normal(BATCH, TIME, D_MODEL) + shift} | more


def small(kind: str, eps: float, x: list[float]):
    return lambda parts: norm(kind, parts, len(x), eps)(torch.tensor([x], dtype=torch.float64))


def starts(subject) -> None:
    """A new norm changes nothing after it has normalised: gains of one, biases of zero."""
    for kind in ("layer", "rms"):
        module = subject.within(lambda parts, kind=kind: norm(kind, parts, D_MODEL))
        for name, wanted in (("gain", 1.0), ("bias", 0.0)):
            there = dict(module.named_parameters()).get(name)
            if there is not None and bool((there != wanted).any()):
                found = float(there.detach().flatten()[0])
                raise Sign(
                    f"In a new {kind} norm {name} is {found}, and should be {wanted}.",
                    "A new norm only normalises. With gains of zero it lets nothing through, and nothing is learnt.",
                    "gain begins as torch.ones(d_model), bias as torch.zeros(d_model).",
                    name,
                )


def gain_and_bias(parts, x, eps=None):
    found = {}
    for kind in ("layer", "rms"):
        module, plain = trained(kind, parts, x, eps), norm(kind, parts, x.shape[-1], eps, x.dtype)
        found[kind] = plain(x) * module.gain + getattr(module, "bias", 0.0)
    return found


def digits(subject) -> None:
    """fp64 stays fp64: neither exact nor coarse is what fp32 in between looks like."""
    x = subject.inputs()["x"]
    unit = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    right = {"layer": unit, "rms": x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()}
    for kind, wanted in right.items():
        found = subject.within(lambda parts, kind=kind: norm(kind, parts, D_MODEL)(x.clone()))
        off = float((found - wanted).abs().max())
        if found.dtype is not torch.float64 or 1e-10 < off < 1e-5:
            raise Broken(
                f"With x in fp64 the result is {str(found.dtype).removeprefix('torch.')} and is off by {off:.0e}, "
                "which are the digits of fp32.",
                "Raising fp16 and bf16 to fp32 is right; fp64 has more digits, and checks of gradients need them.",
                "x.to(torch.promote_types(x.dtype, torch.float32)) raises what is narrower and nothing else.",
            )


def half(subject) -> None:
    """In fp16 numbers of 300 have squares beyond what it can hold, 65504."""
    x = (300 * subject.inputs()["x"]).half()
    for kind in ("layer", "rms"):
        exact = subject.within(lambda parts, kind=kind: norm(kind, parts, D_MODEL)(x.double()))
        found = subject.within(lambda parts, kind=kind: norm(kind, parts, D_MODEL, dtype=torch.float16)(x.clone()))
        if found.dtype is not torch.float16:
            raise Sign(
                f"For x in fp16 your {kind} norm gives {found.dtype}, and torch.float16 is wanted.",
                "The stream keeps its precision from layer to layer; a map in fp16 refuses anything else.",
                "Bring the result back at the end: .to(x.dtype).",
                "type",
            )
        if not bool(((found - exact).abs() < 0.02).all()):
            raise Sign(
                f"For x of about 300 in fp16 your {kind} norm gives {float(found.flatten()[0]):.3g}, where "
                f"{float(exact.flatten()[0]):.3g} is right.",
                "300 squared is 90000, and fp16 ends at 65504: the mean becomes inf, and what it divides becomes 0.",
                "Raise x to fp32 before anything is squared, and bring the result back to the dtype of x.",
                "overflow",
            )


CHECKS = Checks(
    call=both,
    axes=dict.fromkeys(("x", "out.layer", "out.rms"), "batch time d_model"),
    cases={
        "usual": rows,
        "eps of 0.1": lambda draw: rows(draw, eps=0.1),
        "numbers so small that eps counts": lambda draw: rows(draw, 1e-3),
        "numbers far from zero": lambda draw: rows(draw, shift=300.0),
        "one row alone": lambda draw: {"x": draw.normal(D_MODEL)},
    },
    edges=("one row alone",),
    borrowed=("layer_norm", "rms_norm"),
    properties=(
        p.parameters(lambda parts, given: (trained("layer", parts, given["x"]), trained("rms", parts, given["x"]))[0]),
        Property("starts", starts),
        p.by_hand(
            "layer_by_hand",
            small("layer", 0.0, [1.0, 3.0]),
            torch.tensor([[-1.0, 1.0]], dtype=torch.float64),
            "LayerNorm(2, eps=0) of (1, 3)",
            "The mean is 2, what is left (-1, 1); the mean of its squares is 1, and the root of that 1.",
            "Mean and variance on paper: what do you divide the sum of squares by, and what is the root taken of?",
        ),
        p.by_hand(
            "rms_by_hand",
            small("rms", 0.0, [1.0, 7.0]),
            torch.tensor([[0.2, 1.4]], dtype=torch.float64),
            "RMSNorm(2, eps=0) of (1, 7)",
            "The squares are 1 and 49, their mean is 25, the root of that 5.",
            "Nothing is subtracted; the squares are averaged, not added up.",
        ),
        p.by_hand(
            "layer_eps",
            small("layer", 3.0, [1.0, 3.0]),
            torch.tensor([[-0.5, 0.5]], dtype=torch.float64),
            "LayerNorm(2, eps=3) of (1, 3)",
            "The variance is 1; 1 + 3 is 4, and the root of that is 2.",
            "eps is added to the variance, under the root.",
        ),
        p.by_hand(
            "rms_eps",
            small("rms", 11.0, [1.0, 7.0]),
            torch.tensor([[1 / 6, 7 / 6]], dtype=torch.float64),
            "RMSNorm(2, eps=11) of (1, 7)",
            "The mean of the squares is 25; 25 + 11 is 36, and the root of that is 6.",
            "eps is added to the mean of the squares, under the root.",
        ),
        p.isolation("x", "time", out="out.layer", name="layer_alone"),
        p.isolation("x", "time", out="out.rms", name="rms_alone"),
        p.isolation("x", "batch", out="out.layer", name="layer_batch"),
        p.isolation("x", "batch", out="out.rms", name="rms_batch"),
        p.parity(
            "gain_and_bias",
            both,
            gain_and_bias,
            "Your output, and what a new norm gives, times gain, plus bias,",
            "Normalising takes size and offset away; gain and bias let the model choose them again.",
            "After the division: times self.gain, and in LayerNorm plus self.bias, in this order.",
        ),
        Property("digits", digits),
        Property("half_precision", half),
        p.finite(),
        p.gradients("x"),
        p.parameter_gradients(
            lambda parts, given: nn.ModuleList([trained(kind, parts, given["x"]) for kind in ("layer", "rms")]),
            lambda modules, given: [module(given["x"]) for module in modules],
        ),
    ),
)
