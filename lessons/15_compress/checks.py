"""What must hold, in teaching order: a teacher's loss; codes of 8 bits and masks have files of their own."""

import math
from pathlib import Path

import torch

from firsthand.contracts.finding import Broken
from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Draw, Inputs, Property, module
from firsthand.learn.grader.subject import Sign
from firsthand.types import IGNORE

LN3 = math.log(3)


def batch(draw: Draw, lead: tuple[int, ...] = (2, 5), vocab: int = 11, ignored: int = 2, **more: float) -> Inputs:
    """Logits of both, and targets of which the first `ignored` count nowhere."""
    targets = draw.integers(vocab, *lead)
    targets.view(-1)[:ignored] = IGNORE
    given = {"student": draw.normal(*lead, vocab), "teacher": 2 * draw.normal(*lead, vocab), "targets": targets}
    return given | {"temperature": 3, "alpha": 0.7} | more


def far_apart(draw: Draw) -> Inputs:
    """Logits in the thousands: a probability is a 0 in any precision, and its logarithm is none."""
    given = batch(draw, ignored=0)
    return given | {"student": 1000 * given["student"], "teacher": 1000 * given["teacher"]}


def distilled(parts, student, teacher, targets, temperature, alpha):
    loss = parts.distill_loss(student, teacher, targets, float(temperature), float(alpha))
    if not hasattr(loss, "value") or not hasattr(loss, "count"):
        raise Broken(
            f"distill_loss returned {type(loss).__name__}, not Loss(value, count, metrics).",
            "The training step adds up values and counts over microbatches, and divides once.",
            "return Loss(the sum, the number of targets, {})",
        )
    return {"value": loss.value, "count": torch.as_tensor(loss.count)}


def two(parts, alpha: float, student=(LN3, 0.0), teacher=(2 * LN3, 0.0), target: int = 0, temperature: float = 2.0):
    """The value for one target of a vocabulary of two, to six digits."""
    logits = [torch.tensor([row], dtype=torch.float64) for row in (student, teacher)]
    found = distilled(parts, *logits, torch.tensor([target]), temperature, alpha)
    return round(float(found["value"]), 6)


def soft_parts(subject):
    """The soft part as it is and as it should be, for inputs in which one number cannot hide another's fault."""
    given = subject.inputs() | {"alpha": 1.0}
    mine = subject.out(given, "out.value")
    counted, heat = given["targets"] != IGNORE, given["temperature"]
    aim, heated = (torch.log_softmax(given[name][counted] / heat, -1) for name in ("teacher", "student"))
    return mine, heat**2 * torch.sum(aim.exp() * (aim - heated))


def agree(given: Inputs) -> Inputs:
    return given | {"teacher": given["student"].clone(), "alpha": 1.0}


def halves(parts, **given):
    """The batch in two pieces, added up."""
    rows = [{name: one[i : i + 1] for name, one in given.items() if hasattr(one, "shape")} for i in range(2)]
    found = [distilled(parts, **row, temperature=given["temperature"], alpha=given["alpha"]) for row in rows]
    return {name: found[0][name] + found[1][name] for name in found[0]}


def elsewhere(parts, other: float = 0.0, **given):
    """`other` is added to some logits at the places that count nowhere."""
    gone = given["targets"] == IGNORE
    for name in ("student", "teacher"):
        given[name] = given[name].clone()
        given[name][gone] += other * torch.arange(given[name].shape[-1])
    return distilled(parts, **given)


def teacher_frozen(subject) -> None:
    given = subject.inputs()
    given["student"].requires_grad_()
    given["teacher"].requires_grad_()

    def slopes(parts):
        value = distilled(parts, **given)["value"]
        if not value.requires_grad:
            return None
        return torch.autograd.grad(value, [given["teacher"]], allow_unused=True)[0]

    found = subject.within(slopes, grad=True)
    if found is not None and bool((found != 0).any()):
        raise Sign(
            "A gradient arrives at the teacher's logits.",
            "A teacher that learns meets its pupil half-way: the loss falls, and what it taught is spoilt.",
            "Use teacher.detach().",
            "teacher",
        )


DISTILL = Checks(
    call=distilled,
    axes={"student": "batch time vocab", "teacher": "batch time vocab", "targets": "batch time"},
    cases={
        "usual": batch,
        "only the teacher": lambda draw: batch(draw, alpha=1.0),
        "only the text": lambda draw: batch(draw, alpha=0.0),
        "temperature 1": lambda draw: batch(draw, temperature=1),
        "cold": lambda draw: batch(draw, temperature=0.5),
        "one target": lambda draw: batch(draw, lead=(1, 1), vocab=3, ignored=0),
        "rows without a batch": lambda draw: batch(draw, lead=(7,), vocab=5),
        "nothing to learn": lambda draw: batch(draw, lead=(2, 3), ignored=6),
        "logits in the thousands": far_apart,
    },
    edges=("nothing to learn", "logits in the thousands"),
    borrowed=("kl_div",),
    properties=(
        p.by_hand(
            "by_hand_hard",
            lambda parts: two(parts, 0.0),
            round(math.log(4 / 3), 6),
            "alpha 0, T 2, student logits (ln 3, 0), target 0:",
            "Without a teacher it is the loss of lesson 8, of the logits as they are: p = 3/4, and -ln 3/4 = 0.287682.",
            "The part with the targets has the factor 1 - alpha, and knows nothing of the temperature.",
        ),
        p.holds(
            "agreement",
            lambda given, out: abs(float(out["value"])) < 1e-9,
            "With a student whose logits are the teacher's own, and alpha 1, your loss is not 0.",
            "Who says the same as the teacher has nothing left to learn from it: KL(p ‖ p) = 0, at any temperature.",
            "Is the same done to both logits? And is the teacher's own ln p in the sum?",
            changed=agree,
        ),
        p.by_hand(
            "by_hand_soft",
            lambda parts: two(parts, 1.0, student=(0.0, 0.0)),
            round(4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5)), 6),
            "alpha 1, T 2, student logits (0, 0), teacher logits (2 ln 3, 0):",
            "Over 2 the teacher says 3/4 and 1/4, the student 1/2 and 1/2: 3/4 ln 1.5 + 1/4 ln 0.5 is 0.1308, "
            "times T² = 4.",
            "Print both heated distributions: (0.75, 0.25) and (0.5, 0.5).",
        ),
        p.constant_factor(
            soft_parts,
            "soft parts",
            "Its gradient shrinks like 1/T², and T² keeps the balance with the other part whatever T is.",
            "T² stands before the sum, and the sum runs over the vocabulary and over the targets.",
            name="temperature_squared",
        ),
        p.parity(
            "adds_up",
            lambda parts, **given: distilled(parts, **given),
            halves,
            "The loss of a batch and the sum of the losses of its rows",
            "Microbatches have unequal numbers of targets: sums and counts can be added up, means cannot.",
            "sum, not mean; and count the targets that are not IGNORE.",
        ),
        p.parity(
            "ignored",
            elsewhere,
            lambda parts, **given: elsewhere(parts, 3.0, **given),
            "The loss before and after changing logits where the target is IGNORE",
            "Padding and what others say is nothing to learn, from the text or from a teacher.",
            "Take the places where targets != IGNORE, before either part is added up.",
        ),
        Property("teacher_frozen", teacher_frozen),
        p.finite("A sure model has logits far apart; one log of 0 spoils every weight."),
        p.gradients("student"),
    ),
)

HERE = Path(__file__).parent
CHECKS = {
    "distill": DISTILL,
    "quantize": module(HERE / "quantize_checks.py").QUANTIZE,
    "prune": module(HERE / "prune_checks.py").PRUNE,
}
