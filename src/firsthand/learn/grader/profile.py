"""How some parts behave: what they give for every case, and what of what must hold does not."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from firsthand.contracts.finding import Broken
from firsthand.learn.grader import printed
from firsthand.learn.grader.checks import STAGES, Checks, Inputs, Property
from firsthand.learn.grader.entry import NotStarted
from firsthand.learn.grader.leaves import Leaves
from firsthand.learn.grader.properties import purity, reference, shapes, single_precision
from firsthand.learn.grader.properties.oracle import raising
from firsthand.learn.grader.subject import Raised, Subject, key

FINGERPRINT_SEED = 0


@dataclass(frozen=True)
class Failure:
    """A property that does not hold, and the three lines of it. `id`: its name, and what tells its failures apart.
    `printed`: what the exercise printed while it was tried. `raised`: the exercise raised an error."""

    id: str
    property: str
    stage: str
    what: str
    why: str
    next: str
    where: str = ""
    printed: str = ""
    raised: bool = False


@dataclass
class Profile:
    """`outputs`: by case, in fp64 for one seed. `failed`: the ids of properties that do not hold, in teaching order."""

    outputs: dict[str, Leaves]
    failed: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    failures: list[Failure] = field(default_factory=list)
    warnings: list[Failure] = field(default_factory=list)


def all_properties(checks: Checks) -> list[Property]:
    """The lesson's own and those that every exercise has, stage by stage."""
    own = {one.name for one in checks.properties}
    common = [one for one in (shapes(), reference(), single_precision(), purity()) if one.name not in own]
    return sorted((*checks.properties, *common), key=lambda one: STAGES.index(one.stage))


def answers(subject: Subject, seeds: tuple[int, ...]) -> dict[str, Leaves]:
    """What the parts give for all cases and seeds; in fp32 only where some input is a floating-point number."""
    found = {}
    for case, seed, dtype in subject.checks.trials(seeds):
        inputs = subject.inputs(case, seed, dtype)
        if dtype is torch.float64 or _floats(inputs):
            found[key(case, seed, dtype)] = raising(subject, inputs)
    return found


def _floats(inputs: Inputs) -> bool:
    return any(isinstance(one, Tensor) and one.is_floating_point() for one in inputs.values())


def outputs(subject: Subject, without: Collection[str] = ()) -> dict[str, Leaves]:
    """What is compared with known slips."""
    cases = [case for case in subject.checks.cases if case not in without]
    return {case: raising(subject, subject.inputs(case, FINGERPRINT_SEED)) for case in cases}


def profile(subject: Subject, tell: Any = None) -> Profile:
    """All properties tried; only where shapes are wrong already, or nothing comes back, the rest would say no more.

    `tell(name)` hears what is being tried. Raises NotStarted at a hole.
    """
    failures: list[Failure] = []
    warnings: list[Failure] = []
    for one in all_properties(subject.checks):
        if failures and one.stage != "shapes" and failures[0].stage == "shapes":
            break
        if tell is not None:
            tell(one.name)
        start = printed.so_far()
        try:
            one.test(subject)
        except NotStarted:
            raise
        except Broken as error:
            tag = getattr(error, "tag", "")
            name = f"{one.name}:{tag}" if tag else one.name
            said = printed.since(start)
            words = error.what, error.why, error.todo, error.where
            found = Failure(name, one.name, one.stage, *words, said, isinstance(error, Raised))
            (warnings if one.warns else failures).append(found)
        except Exception as error:
            # the shipped part passes, so it is what these parts returned that cannot be worked with
            what = f"It could not be tried: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
            why = "What your code returned cannot be worked with further."
            todo = "Compare the type and shape of what you return with the stub's docstring."
            failures.append(Failure(one.name, one.name, one.stage, what, why, todo, printed=printed.since(start)))
    return Profile(
        outputs(subject),
        tuple(one.id for one in failures),
        tuple(one.id for one in warnings),
        failures,
        warnings,
    )
