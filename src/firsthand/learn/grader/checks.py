"""What a lesson says about its exercise: inputs, how to call it, and what must hold, in teaching order."""

import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from firsthand.errors import UserError
from firsthand.learn.manifest import Exercise

Inputs: TypeAlias = dict[str, Any]
Parts: TypeAlias = SimpleNamespace
"""The names that the exercise's file must define: the learner's, the shipped ones, or a slip's."""

STAGES = ("shapes", "properties", "reference", "gradients", "purity")


class Draw:
    """Random inputs. The same seed gives the same numbers in fp32 and fp64, up to rounding."""

    def __init__(self, seed: int, dtype: torch.dtype = torch.float64) -> None:
        self.seed, self.dtype = seed, dtype
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int) -> Tensor:
        """From the standard normal distribution."""
        return torch.randn(shape, generator=self.generator, dtype=torch.float64).to(self.dtype)

    def integers(self, below: int, *shape: int) -> Tensor:
        """int64 from 0 to below - 1."""
        return torch.randint(below, shape, generator=self.generator)

    def mask(self, *shape: int, share: float = 0.6) -> Tensor:
        """bool, about `share` of it True, and at least one True in each row of the last axis."""
        allowed = torch.rand(shape, generator=self.generator) < share
        one = self.integers(shape[-1], *shape[:-1], 1)
        return allowed.scatter(-1, one, True)


@dataclass(frozen=True)
class Property:
    """Something that must hold. `test` gets a Subject and raises Broken. One that only `warns` fails nobody."""

    name: str
    test: Callable[[Any], None]
    stage: str = "properties"
    warns: bool = False


@dataclass(frozen=True)
class Checks:
    """One exercise as the grader sees it.

    `cases`: inputs by name, the first being the usual one; every one is compared with the shipped part's answer.
    `call(parts, **inputs)`: builds what has to be built and returns what is compared. `properties`: in teaching order;
    shapes, reference, precision and purity come by themselves. `axes`: the names of the axes of inputs and of what is
    returned ("out", "out.0", "out.loss"), as {"query": "batch heads query d_head", "out": ...}. `picture`: the case
    that is drawn when something is wrong. `borrowed`: names that a pass is noted for. `edges`: the cases in which two
    people who made the same slip may still differ (nothing to read, overflow): a slip is recognised without them too.
    `once`: cases that take long, compared for one seed in fp64 only.
    """

    call: Callable[..., Any]
    cases: Mapping[str, Callable[[Draw], Inputs]]
    properties: tuple[Property, ...] = ()
    axes: Mapping[str, str] = field(default_factory=dict)
    picture: str | None = None
    borrowed: tuple[str, ...] = ()
    edges: tuple[str, ...] = ()
    once: tuple[str, ...] = ()

    @property
    def usual(self) -> str:
        """The name of the first case."""
        return next(iter(self.cases))

    def trials(self, seeds: tuple[int, ...]) -> Iterator[tuple[str, int, torch.dtype]]:
        """Every case, seed and precision that is compared with the shipped part's answers."""
        for case in self.cases:
            yield from ((case, seed, torch.float64) for seed in (seeds[:1] if case in self.once else seeds))
            if case not in self.once:
                yield from ((case, seed, torch.float32) for seed in seeds)

    def inputs(self, case: str = "", seed: int = 0, dtype: torch.dtype = torch.float64) -> Inputs:
        """The inputs of a case, made anew."""
        return self.cases[case or self.usual](Draw(seed, dtype))

    def sizes(self, inputs: Inputs) -> dict[str, int]:
        """The lengths of the named axes, and whole numbers among the inputs by their own names."""
        found = {name: one for name, one in inputs.items() if isinstance(one, int) and not isinstance(one, bool)}
        for name, axes in self.axes.items():
            tensor = inputs.get(name)
            if isinstance(tensor, Tensor) and tensor.dim() == len(axes.split()):
                found |= dict(zip(axes.split(), tensor.shape, strict=True))
        return found


def load(exercise: Exercise) -> Checks:
    """The checks of an exercise: CHECKS[exercise.id] in its lesson's checks.py. UserError if there are none."""
    table = module(exercise.folder / "checks.py").CHECKS
    if exercise.id not in table:
        raise UserError(f"{exercise.folder / 'checks.py'}: CHECKS has no {exercise.id!r}, which lesson.toml lists.")
    checks: Checks = table[exercise.id]
    return checks


def module(path: Path) -> ModuleType:
    """A file of a lesson as a module, imported once. UserError if there is none."""
    name = f"lesson_{path.parent.name}_{path.stem}"
    known = sys.modules.get(name)
    if known is not None and known.__file__ == str(path):
        return known
    if not path.is_file():
        raise UserError(f"There is no {path}. A lesson with exercises needs one; see docs/learning/authoring.md.")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, "a .py file always has a spec"
    assert spec.loader is not None, "a .py file always has a loader"
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    spec.loader.exec_module(made)
    return made
