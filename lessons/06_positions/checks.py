"""Absolute positions and rotation: what must hold, in teaching order."""

import torch

from firsthand.contracts.finding import Broken
from firsthand.errors import UserError
from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs, Property

# no two alike, and none a power of another
BATCH, TIME, D_MODEL, CONTEXT, N_HEADS, D_HEAD = 2, 5, 10, 13, 3, 14
AXES = {"x": "batch time d_model", "index": "rows time", "out.embedded": "batch time d_model"}
STEP = 0.01


def snapped(found, right, within: float):
    """`found`, with `right` wherever it is as near as another precision brings it; the rest on a grid.

    Waves are computed in fp32 by some and in fp64 by others, and both are right.
    """
    if not isinstance(found, torch.Tensor) or found.shape != right.shape or not found.is_floating_point():
        return found
    found, right = found.double(), right.double()
    return torch.where((found - right).abs() <= within, right, (found / STEP).round() * STEP)


def waves(length: int, d_model: int) -> torch.Tensor:
    """The table by its definition, one number at a time."""
    table = torch.empty(length, d_model, dtype=torch.float64)
    for column in range(d_model):
        angle = torch.arange(length, dtype=torch.float64) / 10000 ** (column // 2 * 2 / d_model)
        table[:, column] = angle.sin() if column % 2 == 0 else angle.cos()
    return table


def absolute(draw: Draw, batch: int = BATCH, time: int = TIME, start: int = 4, d_model: int = D_MODEL, rows: int = 0):
    """Each row of x begins at another place, unless there is but one row of places."""
    index = start + torch.arange(time) + torch.arange(rows or batch)[:, None]
    return {
        "x": draw.normal(batch, time, d_model),
        "index": index,
        "context_length": CONTEXT,
        "d_model": d_model,
    }


def learned(parts, given: Inputs):
    size = (given["context_length"], given["d_model"])
    return p.weights(parts.LearnedPosition(*size).to(given["x"].dtype), {"table": size})


def waved(parts, given: Inputs):
    made = parts.SinusoidalPosition(given["context_length"], given["d_model"]).to(given["x"].dtype)
    return made.embed(given["x"], given["index"])


def wave_table(parts, length: int, d_model: int) -> list:
    """100 times the vectors of all places, rounded, as they are added to zeros."""
    made = parts.SinusoidalPosition(length, d_model)
    return hundredths(made.embed(torch.zeros(1, length, d_model), torch.arange(length)[None])[0])


def embed(parts, **given):
    right = waves(given["context_length"], given["d_model"])[given["index"]]
    return {
        "embedded": learned(parts, given).embed(given["x"], given["index"]),
        "waves": snapped(waved(parts, given) - given["x"], right.expand_as(given["x"]), 1e-4),
    }


def added(parts, **given):
    return learned(parts, given).embed(torch.zeros_like(given["x"]), given["index"])


def of_table(parts, **given):
    table = learned(parts, given).table.detach()
    return torch.stack([torch.stack([table[int(i)] for i in row]) for row in given["index"]])


def first_place(parts, **given):
    one = given["x"][:1, :1]
    return learned(parts, given).embed(one, torch.zeros(1, 1, dtype=torch.int64)) - one


def told_length(part: str):
    """Whether the error beyond the end names the context_length; True too if there is none, which another property
    tells."""

    def run(parts) -> bool:
        try:
            getattr(parts, part)(13, 4).embed(torch.zeros(1, 1, 4), torch.tensor([[15]]))
        except UserError as error:
            return "13" in str(error)
        except Exception:
            return True
        return True

    return run


def start_of(parts, generator) -> torch.Tensor:
    """Which of four ranges each number of a new table is in; the borders are -0.02, 0 and 0.02."""
    return torch.bucketize(parts.LearnedPosition(101, 89).table.detach(), torch.tensor([-0.02, 0.0, 0.02]))


def hundredths(found) -> list:
    """Plain numbers with two digits, for what is worked out on paper."""
    return (found.double() * 100).round().long().tolist()


ABSOLUTE = Checks(
    call=embed,
    axes=AXES | {"out.waves": "batch time d_model"},
    cases={
        "usual": absolute,
        "one row of places for all": lambda draw: absolute(draw, batch=3, rows=1),
        "one token": lambda draw: absolute(draw, batch=1, time=1, start=0),
        "an odd d_model": lambda draw: absolute(draw, d_model=7),
        "the whole context": lambda draw: absolute(draw, batch=1, time=CONTEXT, start=0),
    },
    edges=("an odd d_model", "the whole context"),
    properties=(
        p.by_hand(
            "waves",
            lambda parts: wave_table(parts, 3, 4),
            [[0, 100, 0, 100], [84, 54, 1, 100], [91, -42, 2, 100]],
            "100 · what SinusoidalPosition(3, 4) adds to places 0, 1 and 2, rounded,",
            "Row 1 is sin 1, cos 1, sin 0.01, cos 0.01: each pair is sine and cosine of one angle, and the second "
            "turns a hundred times slower.",
            "Work out row 1 on paper: exponents 0/4 and 2/4 give 10000^0 = 1 and 10000^0.5 = 100.",
        ),
        p.by_hand(
            "odd_d_model",
            lambda parts: wave_table(parts, 2, 3),
            [[0, 100, 0], [84, 54, 0]],
            "100 · what SinusoidalPosition(2, 3) adds to places 0 and 1, rounded,",
            "A width need not be even; the last sine has no cosine beside it then.",
            "Make the cosines for half the columns, rounded down.",
        ),
        p.parity(
            "waves_by_index",
            lambda parts, **given: embed(parts, **given)["waves"],
            lambda parts, **given: waves(CONTEXT, D_MODEL)[given["index"]],
            "What SinusoidalPosition adds to tokens and the waves of the places that `index` names",
            "A token's place is what index says, and what is added does not depend on the token.",
            "x + self.table[index], and nothing else.",
            axis="time",
        ),
        p.by_hand(
            "waves_are_fixed",
            lambda parts: [name for name, _ in parts.SinusoidalPosition(3, 4).named_parameters()],
            [],
            "The list of the parameters of SinusoidalPosition(3, 4)",
            "These waves are given, not learnt; a parameter would be changed by the optimizer.",
            'Keep the table with self.register_buffer("table", ..., persistent=False).',
        ),
        p.parameters(lambda parts, given: learned(parts, given)),
        p.parity(
            "first_place",
            first_place,
            lambda parts, **given: learned(parts, given).table.detach()[:1][None],
            "What is added to a token at place 0 and row 0 of the table",
            "Row 0 belongs to place 0 and is added to the token, which stays as it is.",
            "Call embed at place 0 with x = 0 and with a table of zeros: row 0 and x should come back.",
        ),
        p.parity(
            "by_index",
            added,
            of_table,
            "What is added to tokens and the rows of the table that `index` names",
            "A token's place is what index says. It need not begin at 0: in writing, one token comes at a time.",
            "Look the rows up: self.table[index]. Do not count x's tokens yourself.",
            axis="time",
        ),
        p.parity(
            "is_added",
            lambda parts, **given: embed(parts, **given)["embedded"] - given["x"],
            added,
            "What embed does to tokens and what it does to zeros",
            "The place is added to the token: the same vector, whatever the token is.",
            "x + rows of the table, and nothing else done to x.",
            axis="time",
        ),
        *(
            p.refuses(
                name,
                lambda parts, part=part: getattr(parts, part)(4, 6).embed(torch.zeros(1, 1, 6), torch.tensor([[4]])),
                (UserError,),
                f"{part} does not refuse a token at place 4 of a context of 4 with a UserError.",
                "A wrong row, silently, is worse than an error; and the error should tell the user what to do.",
                "Look rows up by rows(self.table, index), in firsthand.model.positions.tables.",
            )
            for name, part in (("waves_end", "SinusoidalPosition"), ("table_ends", "LearnedPosition"))
        ),
        *(
            p.by_hand(
                name,
                told_length(part),
                True,
                f"Whether {part}(13, 4) names its context_length, 13, in the error about place 15",
                "Who reads the message has to know how long a text may be.",
                "Put self.context_length into the message, or look rows up by rows(self.table, index).",
            )
            for name, part in (("waves_end_named", "SinusoidalPosition"), ("table_end_named", "LearnedPosition"))
        ),
        p.distribution(
            "table_start",
            start_of,
            [0.1587, 0.3413, 0.3413, 0.1587],
            "A new table is normal with deviation 0.02; these are the shares below -0.02, from there to 0, and so on.",
            "nn.Parameter(0.02 * torch.randn(context_length, d_model))",
        ),
        p.isolation("x", "batch", "out.embedded"),
        p.isolation("x", "time", "out.embedded", name="time_isolation"),
        p.parameter_gradients(
            lambda parts, given: learned(parts, given), lambda module, given: module.embed(given["x"], given["index"])
        ),
    ),
)


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
        "frequencies": snapped(parts.frequencies(6, theta), theta ** (-torch.arange(3.0) / 3), 1e-5),
        "rotated": snapped(found, turned(heads, index, theta), 4e-3),
    }


def one_pair(parts, place: int, pair: tuple[float, float]) -> list:
    heads = torch.tensor([[[pair]]])
    return hundredths(parts.Rope(2).rotate(heads, torch.tensor([[place]]))[0, 0, 0])


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
            lambda parts, **given: snapped(*lengths(parts, **given), 1e-4),
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

CHECKS = {"absolute": ABSOLUTE, "rope": ROPE}
