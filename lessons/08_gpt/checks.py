"""Loss and measures: what must hold, in teaching order; the model, its weights and their number have files beside."""

import math
from pathlib import Path

import torch

from firsthand.contracts.finding import Broken
from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs, module

# no two alike, and none a power of another
BATCH, TIME, VOCAB = 3, 5, 11


def given(draw: Draw, *shape: int, scale: float = 1.0, ignored: int = 4, **more) -> Inputs:
    """`ignored` targets are -100, more of them in the first row; some of the others are 0."""
    shape = shape or (BATCH, TIME)
    targets = draw.integers(VOCAB, *shape)
    flat = targets.view(-1)
    flat[:ignored] = -100
    flat[-3:] = 0
    return {"logits": scale * draw.normal(*shape, VOCAB), "targets": targets} | more


def other_index(draw: Draw) -> Inputs:
    found = given(draw, ignored=0) | {"ignore_index": 7}
    found["targets"][:, 1] = 7
    return found


def call(parts, logits, targets, ignore_index=-100):
    found = parts.cross_entropy(logits, targets, ignore_index)
    if not isinstance(found, tuple) or len(found) != 2:
        raise Broken(
            f"What came back is a {type(found).__name__}, not two things.",
            "Who adds batches up needs the sum and the number of targets.",
            "End it with: return total, count",
        )
    return tuple(map(torch.as_tensor, found))


def uniform(parts):
    total, count = call(parts, torch.zeros(1, 3, 4, dtype=torch.float64), torch.tensor([[2, -100, 0]]))
    return total, int(count)


def in_one(parts, logits, targets, by_row: bool, ignore_index=-100):
    if not by_row:
        return call(parts, logits, targets, ignore_index)[0]
    return sum(call(parts, *row, ignore_index)[0] for row in zip(logits, targets, strict=True))


def moved(parts, logits, targets, by: float, ignore_index=-100):
    return call(parts, logits + by, targets, ignore_index)[0]


def where_ignored(parts, logits, targets, by: float, ignore_index=-100):
    away = (targets == ignore_index).unsqueeze(-1)
    return call(parts, torch.where(away, logits + by * torch.arange(VOCAB), logits), targets, ignore_index)


LOSS = Checks(
    call=call,
    axes={"logits": "batch time vocab", "targets": "batch time", "out.0": "", "out.1": ""},
    cases={
        "usual": given,
        "logits in the thousands": lambda draw: given(draw, scale=1000.0),
        "logits near -2000": lambda draw: (found := given(draw)) | {"logits": found["logits"] - 2000},
        "nothing to learn": lambda draw: given(draw, ignored=0) | {"targets": torch.full((BATCH, TIME), -100)},
        "another ignore_index": other_index,
        "no axis of time": lambda draw: given(draw, 7),
    },
    borrowed=("cross_entropy", "nll_loss", "CrossEntropyLoss"),
    properties=(
        p.by_hand(
            "uniform",
            uniform,
            (torch.tensor(2 * math.log(4), dtype=torch.float64), 2),
            "cross_entropy of equal logits over 4 ids and the targets (2, ignored, 0)",
            "Equal logits give each id 1/4; each of the two targets that count costs ln 4 = 1.386, together 2.773.",
            "Compute one target on paper: softmax, the share of the target, its logarithm, the sign.",
        ),
        p.parity(
            "ignored_is_unread",
            lambda parts, **inputs: where_ignored(parts, **inputs, by=0.0),
            lambda parts, **inputs: where_ignored(parts, **inputs, by=3.0),
            "The result before and after changing logits whose target is ignored",
            "Prompts and padding are ignored so that the model learns nothing from them.",
            "Which rows are in the sum, and which in the count?",
        ),
        p.parity(
            "shift",
            lambda parts, **inputs: moved(parts, **inputs, by=0.0),
            lambda parts, **inputs: moved(parts, **inputs, by=2.5),
            "The sum before and after adding 2.5 to all logits",
            "A softmax looks at differences only: adding one number to all logits of a row changes nothing.",
            "Softmax once, over the last axis, of the logits as they come.",
        ),
        p.parity(
            "rows_add_up",
            lambda parts, **inputs: in_one(parts, **inputs, by_row=False),
            lambda parts, **inputs: in_one(parts, **inputs, by_row=True),
            "The sum over the batch, and the sums over its rows added up,",
            "Batches are split and added up again; a mean of means weighs a short row as much as a long one.",
            "Add all up and divide by nothing; look at how logits and targets are flattened, too.",
        ),
        p.finite("One nan in the loss, and every weight is nan after the next step."),
        p.gradients("logits"),
    ),
)


def texts(draw: Draw, nats_per_token: float | None = None) -> Inputs:
    numbers = draw.normal(2).abs()
    nats = 0.2 + 2 * float(numbers[0]) if nats_per_token is None else nats_per_token
    return {"nats_per_token": nats, "nats": 900 + 100 * float(numbers[1]), "n_bytes": 641}


def measure(parts, nats_per_token, nats, n_bytes):
    found = {"perplexity": parts.perplexity(nats_per_token), "bits_per_byte": parts.bits_per_byte(nats, n_bytes)}
    return {name: torch.as_tensor(value, dtype=torch.float64) for name, value in found.items()}


def value(run):
    return lambda parts: torch.as_tensor(run(parts), dtype=torch.float64)


MEASURES = Checks(
    call=measure,
    axes={"out.perplexity": "", "out.bits_per_byte": ""},
    cases={
        "usual": texts,
        "no surprise": lambda draw: texts(draw, 0.0),
        "nats beyond all floats": lambda draw: texts(draw, 800.0),
    },
    properties=(
        p.by_hand(
            "ten_ways",
            value(lambda parts: parts.perplexity(math.log(10))),
            torch.tensor(10.0, dtype=torch.float64),
            "perplexity(ln 10)",
            "Who has ten equally likely choices is surprised by ln 10 nats; the perplexity says ten.",
            "exp undoes ln: which base have the nats?",
        ),
        p.by_hand(
            "eight_bits",
            value(lambda parts: parts.bits_per_byte(100 * math.log(256), 100)),
            torch.tensor(8.0, dtype=torch.float64),
            "bits_per_byte(100 · ln 256, 100)",
            "Who knows nothing about 100 bytes pays ln 256 nats for each, which is 8 bits for each.",
            "How many nats is one bit? A coin has ln 2.",
        ),
        p.by_hand(
            "far_too_much",
            value(lambda parts: parts.perplexity(1000.0)),
            torch.tensor(math.inf, dtype=torch.float64),
            "perplexity(1000)",
            "A model that has gone wrong must not stop the report about it.",
            "From 700 nats on, return math.inf.",
        ),
        p.by_hand(
            "from_700_on",
            value(lambda parts: parts.perplexity(700.0)),
            torch.tensor(math.inf, dtype=torch.float64),
            "perplexity(700)",
            "e to the 700 is near the largest float; where exactly it ends is nobody's business.",
            "Compare with 700: from there on, and at 700 itself, return math.inf.",
        ),
    ),
)


def beside(name: str) -> Checks:
    """The checks in another file of this folder."""
    checks: Checks = module(Path(__file__).with_name(name)).CHECKS
    return checks


CHECKS = {
    "gpt": beside("gpt_checks.py"),
    "initialize": beside("initialize_checks.py"),
    "count": beside("count_checks.py"),
    "loss": LOSS,
    "surprise": MEASURES,
}
