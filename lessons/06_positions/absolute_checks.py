"""What must hold of absolute, in teaching order."""

from pathlib import Path

import torch

from firsthand.errors import UserError
from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs, module

rounding = module(Path(__file__).with_name("rounding.py"))
# no two alike, and none a power of another
BATCH, TIME, D_MODEL, CONTEXT = 2, 5, 10, 13
AXES = {"x": "batch time d_model", "index": "rows time", "out.embedded": "batch time d_model"}


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
    return rounding.hundredths(made.embed(torch.zeros(1, length, d_model), torch.arange(length)[None])[0])


def embed(parts, **given):
    right = waves(given["context_length"], given["d_model"])[given["index"]]
    return {
        "embedded": learned(parts, given).embed(given["x"], given["index"]),
        "waves": rounding.snapped(waved(parts, given) - given["x"], right.expand_as(given["x"]), 1e-4),
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
