"""Codes of 8 bits: what must hold, in teaching order."""

import torch

from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs


def on_levels(draw: Draw, rows: int, columns: int, alike: bool = False) -> torch.Tensor:
    """Numbers at most 0.4 of a step from a level, so that no rounding of floats decides; one in each row is the
    largest, in turn above and below zero. `alike`: all rows have the same step."""
    codes = draw.integers(253, rows, columns) - 126 + 0.4 * torch.tanh(draw.normal(rows, columns))
    codes[:, columns // 2] = 127 * (1 - 2 * (torch.arange(rows) % 2)).to(codes.dtype)
    steps = draw.normal(1 if alike else rows, 1).abs() + 0.1
    return (codes * steps / 100).to(draw.dtype)


def weight(rows: int, columns: int, per_channel: bool = True, **more):
    return lambda draw: {"weight": on_levels(draw, rows, columns, **more), "per_channel": per_channel}


def zero_row(draw: Draw) -> Inputs:
    found = on_levels(draw, 5, 7)
    found[2] = 0.0
    return {"weight": found, "per_channel": True}


def quantized(parts, weight, per_channel):
    q, scale = parts.quantize_int8(weight, per_channel)
    return {"q": q, "scale": scale, "back": parts.dequantize(q, scale)}


def codes(parts, rows, per_channel: bool = True):
    return parts.quantize_int8(torch.tensor(rows, dtype=torch.float64), per_channel)


ROWS = [[1.27, -0.508, 0.008], [0.3, -2.54, 0.041]]

QUANTIZE = Checks(
    call=quantized,
    axes={"weight": "d_out d_in", "out.q": "d_out d_in", "out.back": "d_out d_in"},
    picture="usual",
    cases={
        "usual": weight(7, 11),
        "one scale for all": weight(5, 13, per_channel=False, alike=True),
        "a row of zeros": zero_row,
        "as wide as high": weight(6, 6),
        "one number": weight(1, 1),
        "nothing but zeros": lambda draw: {"weight": torch.zeros(3, 2, dtype=draw.dtype), "per_channel": False},
    },
    edges=("a row of zeros", "nothing but zeros"),
    borrowed=("quantize_per_channel", "quantize_per_tensor", "fake_quantize_per_channel_affine"),
    properties=(
        p.by_hand(
            "scale_shape",
            lambda parts: [list(codes(parts, ROWS, each)[1].shape) for each in (True, False)],
            [[2, 1], [1, 1]],
            "The shapes of the scales of a weight (2, 3), for each row and for the whole,",
            "Codes times scales is one product only if the scales stand in a column beside the rows.",
            "keepdim=True keeps the axis that amax takes away; the whole weight has one scale, as (1, 1).",
        ),
        p.by_hand(
            "a_byte_each",
            lambda parts: str(codes(parts, ROWS)[0].dtype),
            "torch.int8",
            "The dtype of the codes",
            "A code is a byte; the same numbers as floats are as large as before.",
            ".to(torch.int8), after rounding.",
        ),
        p.by_hand(
            "scales",
            lambda parts: [round(float(one), 9) for one in codes(parts, ROWS)[1].flatten()],
            [0.01, 0.02],
            "The scales of the rows (1.27, -0.508, 0.008) and (0.3, -2.54, 0.041)",
            "127 levels lie between 0 and the largest size of a row, which may be a negative number's.",
            "The largest of abs(weight) along a row, over 127.",
        ),
        p.by_hand(
            "one_scale",
            lambda parts: sorted({round(float(one), 9) for one in codes(parts, ROWS, per_channel=False)[1].flatten()}),
            [0.02],
            "With per_channel=False the scales of the rows (1.27, -0.508, 0.008) and (0.3, -2.54, 0.041)",
            "The whole weight has one largest number, 2.54, and so one step.",
            "abs(weight).max() over 127, as (1, 1).",
        ),
        p.by_hand(
            "nearest",
            lambda parts: codes(parts, ROWS)[0].tolist(),
            [[127, -51, 1], [15, -127, 2]],
            "The codes of the rows (1.27, -0.508, 0.008) and (0.3, -2.54, 0.041)",
            "-0.508 / 0.01 is -50.8, and -51 is nearer than -50.",
            "weight / scale, then round, which goes to the nearest; .to(torch.int8) alone cuts off.",
        ),
        p.by_hand(
            "back",
            lambda parts: parts.dequantize(
                torch.tensor([[127, -2], [0, 5]], dtype=torch.int8), torch.tensor([[0.5], [0.25]])
            ).tolist(),
            [[63.5, -1.0], [0.0, 1.25]],
            "dequantize of (127, -2) and (0, 5) with scales 0.5 and 0.25",
            "A code says how many steps, and the scale how long a step is.",
            "codes as floats, times scale.",
        ),
        p.holds(
            "half_a_step",
            lambda given, out: (out["back"] - given["weight"]).abs() <= out["scale"] / 2 * (1 + 1e-9),
            "There and back, the number at {where} is off by more than half a scale.",
            "Levels stand a scale apart, so the nearest is at most half a scale away, if they reach to the largest "
            "number.",
            "Which number is farthest off: the largest, the smallest, or all? What is its code?",
        ),
        p.parity(
            "mirror",
            lambda parts, weight, per_channel: parts.quantize_int8(-weight, per_channel)[0].long(),
            lambda parts, weight, per_channel: -parts.quantize_int8(weight, per_channel)[0].long(),
            "The codes of -weight and those of weight with the other sign",
            "Levels lie alike on both sides of zero, and zero is one of them: -128 stays unused.",
            "Is something added before rounding? Are the borders -127 and 127?",
        ),
        p.holds(
            "zeros",
            lambda given, out: bool(out["scale"][2] > 0) and bool((out["back"][2] == 0).all()),
            "A row of zeros has a scale that is not above 0, or does not come back as zeros.",
            "Pruned rows are zeros, and 0 / 0 is no number: what a byte makes of it differs from machine to machine.",
            "Where the largest size is 0, let the scale be 1.",
            case="a row of zeros",
        ),
        p.isolation("weight", "d_out", out="out.q", name="rows_apart"),
    ),
)
