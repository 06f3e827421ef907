"""What must hold of rope, in teaching order."""

from pathlib import Path

import torch

from firsthand.contracts.finding import Broken
from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs, Property, module

rounding = module(Path(__file__).with_name("rounding.py"))
# no two alike, and none a power of another
BATCH, TIME, N_HEADS, D_HEAD = 2, 5, 3, 14


def turned(heads: torch.Tensor, index: torch.Tensor, theta: float) -> torch.Tensor:
    """Rotation as multiplication of complex numbers."""
    exponents = -2 * torch.arange(heads.shape[-1] // 2, dtype=torch.float64) / heads.shape[-1]
    angles = index[:, None, :, None] * theta**exponents
    pairs = torch.view_as_complex(heads.double().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


def rotation(
    draw: Draw,
    batch: int = BATCH,
    time: int = TIME,
    n_heads: int = N_HEADS,
    d_head: int = D_HEAD,
    start: int = 2,
    rows: int = 0,
    theta: float = 10000.0,
) -> Inputs:
    index = start + torch.arange(time) + 3 * torch.arange(rows or batch)[:, None]
    return {"heads": draw.normal(batch, n_heads, time, d_head), "index": index, "theta": theta, "exact": False}


def rotate(parts, heads, index, theta, exact=False):
    found = parts.Rope(heads.shape[-1], theta).rotate(heads, index)
    if exact:
        return found
    return {
        "frequencies": rounding.snapped(parts.frequencies(6, theta), theta ** (-torch.arange(3.0) / 3), 1e-5),
        "rotated": rounding.snapped(found, turned(heads, index, theta), 4e-3),
    }


def one_pair(parts, place: int, pair: tuple[float, float]) -> list:
    heads = torch.tensor([[[pair]]])
    return rounding.hundredths(parts.Rope(2).rotate(heads, torch.tensor([[place]]))[0, 0, 0])


def lengths(parts, heads, index, theta, exact):
    """Of each pair of channels, before and after."""
    found = parts.Rope(heads.shape[-1], theta).rotate(heads, index)
    return [one.double().unflatten(-1, (-1, 2)).norm(dim=-1) for one in (found, heads)]


def score(parts, place_of_query: int, place_of_key: int) -> float:
    """Of one query and one key, at these places."""
    rope, draw = parts.Rope(D_HEAD), Draw(3)
    query, key = draw.normal(1, 1, 1, D_HEAD), draw.normal(1, 1, 1, D_HEAD)
    at = [torch.tensor([[place]]) for place in (place_of_query, place_of_key)]
    return float((rope.rotate(query, at[0]).double() * rope.rotate(key, at[1]).double()).sum())


def by_distance(subject):
    """Scores at one distance, from several places on."""
    scores = [subject.within(lambda parts, at=at: score(parts, at + 4, at)) for at in (0, 1, 9, 100)]
    if max(scores) - min(scores) > 1e-3:
        raise Broken(
            f"A query 4 tokens after a key scores {scores[0]:.3f} at place 4, and {scores[-1]:.3f} at place 104.",
            "The scores of turned queries and keys depend on how far apart they stand, and on nothing else: that is "
            "what rotation is for.",
            "Both must turn by index · frequency, in the same direction, with the same pairs.",
        )
    other = subject.within(lambda parts: score(parts, 5, 0))
    if abs(other - scores[0]) < 1e-3:
        raise Broken(
            "A query and a key have the same score at a distance of 4 and of 5.",
            "Without a difference between distances, attention does not know any order.",
            "Print the angles: they should be index · frequency, with index as it is given.",
        )


def precise(subject) -> None:
    """Heads in bf16 far into a text, where an angle in bf16 is wrong by radians."""
    index = torch.tensor([[1001]])
    heads = subject.inputs()["heads"][:1, :, :1].bfloat16()
    found = subject.within(lambda parts: parts.Rope(D_HEAD).rotate(heads.clone(), index))
    away = (found.double() - turned(heads, index, 10000.0)).abs().max()
    if away > 0.1:
        raise Broken(
            f"Heads in bfloat16 at place 1001 come out wrong by up to {float(away):.2g}.",
            "Far places need all pairs, too, and exact angles; bfloat16, with its 8 bits, takes 1001 for 1000.",
            "Compute index · frequency, its cos and its sin in float32 or better, whatever the heads are in.",
        )


def slope(parts, heads, index, theta, exact, measured=False):
    """How the sum of weighted outputs grows along a direction: by the gradient, or measured."""
    weight, direction = Draw(11).normal(*heads.shape), Draw(12).normal(*heads.shape)

    def total(given):
        return (parts.Rope(heads.shape[-1], theta).rotate(given, index) * weight).sum()

    if measured:
        return float((total(heads + direction) - total(heads - direction)) / 2)
    with torch.enable_grad():
        given = heads.clone().requires_grad_()
        made = total(given)
        slopes = torch.autograd.grad(made, given)[0] if made.requires_grad else torch.zeros_like(heads)
    return float((slopes * direction).sum())


ROPE = Checks(
    call=rotate,
    axes={"heads": "batch heads time d_head", "index": "rows time", "out.rotated": "batch heads time d_head"},
    cases={
        "usual": rotation,
        "one row of places for all": lambda draw: rotation(draw, batch=4, rows=1),
        "another theta": lambda draw: rotation(draw, theta=500.0),
        "a pair alone": lambda draw: rotation(draw, d_head=2, n_heads=1),
        "one token, further on": lambda draw: rotation(draw, batch=1, time=1, start=11),
        "far into a text": lambda draw: rotation(draw, batch=1, time=3, start=1001),
    },
    properties=(
        p.by_hand(
            "frequencies",
            lambda parts: (parts.frequencies(4).double() * 1e6).round().long().tolist(),
            [1000000, 10000],
            "1000000 · frequencies(4), rounded,",
            "The first pair turns 1 radian a token, the last one slowly, so that together they tell near and far.",
            "Exponents -0/4 and -2/4: 10000^0 = 1 and 10000^-0.5 = 0.01. One number for each pair of channels.",
        ),
        p.by_hand(
            "quarter_turn",
            lambda parts: one_pair(parts, 1, (1.0, 0.0)),
            [54, 84],
            "100 · the pair (1, 0) at place 1, rounded,",
            "Turned by 1 radian, (1, 0) is (cos 1, sin 1) = (0.54, 0.84): to the left, as angles are counted.",
            "(a cos - b sin, a sin + b cos), with a = 1 and b = 0.",
        ),
        p.by_hand(
            "other_channel",
            lambda parts: one_pair(parts, 1, (0.0, 1.0)),
            [-84, 54],
            "100 · the pair (0, 1) at place 1, rounded,",
            "Turned by 1 radian, (0, 1) is (-sin 1, cos 1) = (-0.84, 0.54).",
            "(a cos - b sin, a sin + b cos), with a = 0 and b = 1: look at the minus.",
        ),
        p.by_hand(
            "place_zero",
            lambda parts: one_pair(parts, 0, (3.0, 4.0)),
            [300, 400],
            "100 · the pair (3, 4) at place 0",
            "The angle at place 0 is 0, so nothing turns there.",
            "Use index as it is, counted from 0.",
        ),
        p.parity(
            "length_kept",
            lambda parts, **given: rounding.snapped(*lengths(parts, **given), 1e-4),
            lambda parts, **given: lengths(parts, **given)[1],
            "The lengths of the pairs of channels after and before turning",
            "Turning changes the direction of a pair, never its length.",
            "cos² + sin² = 1: check that both belong to one angle, and which two channels make a pair.",
            axis="heads",
        ),
        Property("by_distance", by_distance),
        p.by_hand(
            "type_kept",
            lambda parts: str(parts.Rope(6).rotate(torch.ones(1, 2, 3, 6).bfloat16(), torch.arange(3)[None]).dtype),
            "torch.bfloat16",
            "The type of what comes back for heads in bfloat16",
            "Models are trained in bfloat16, and queries must meet keys and values of their type.",
            "Angles in float32 or better, and at the end .to(heads.dtype).",
        ),
        p.by_hand(
            "nothing_learnt",
            lambda parts: [name for name, _ in parts.Rope(6).named_parameters()],
            [],
            "The list of the parameters of Rope(6)",
            "The angles are given, not learnt; a parameter would be changed by the optimizer.",
            'Keep a table as a plain tensor or with self.register_buffer("turns", ..., persistent=False).',
        ),
        Property("precise_angles", precise),
        p.isolation("heads", "batch", "out.rotated"),
        p.isolation("heads", "heads", "out.rotated"),
        p.isolation("heads", "time", "out.rotated", name="time_isolation"),
        p.parity(
            "slope",
            slope,
            lambda parts, **given: slope(parts, **given, measured=True),
            "The slope that the gradient says and the one that is measured",
            "Queries and keys learn through the rotation.",
            "Look for .detach(), .data, torch.no_grad() and numbers made anew.",
            tolerance=1e-5,
        ),
    ),
)
