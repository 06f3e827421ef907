"""The plans of a file: ways to make a model smaller by name, each a list of methods with what they are told."""

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from firsthand.compress import METHODS, Method
from firsthand.config import Node, read_tree
from firsthand.errors import UserError, suggest
from firsthand.parts import PartSpec, build

NAME = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,64}")
RESERVED = ("original", "original-bf16", "plots", "results.json", "report.md")
"""What stands beside the plans in a table or a folder."""


class Calibration(Node):
    """What methods look at: so many windows, of so many tokens each, of a text that nothing is judged on."""

    windows: int = Field(32, gt=0)
    length: int = Field(512, gt=1)
    text: str | None = Field(None, description="a source of texts; absent: what the command line says")


class Plans(Node):
    """What a file of plans holds."""

    calibration: Calibration = Calibration()
    plans: dict[str, list[PartSpec]]

    def only(self, names: Sequence[str]) -> "Plans":
        """Those plans alone, in the file's order; all for no names. UserError for one that is not there."""
        for name in names:
            if name not in self.plans:
                raise UserError(f"There is no plan {name!r}. {suggest(name, self.plans)}")
        chosen = {name: steps for name, steps in self.plans.items() if not names or name in names}
        return self.model_copy(update={"plans": chosen})


def read_plans(path: Path) -> Plans:
    """The plans of a YAML file. UserError, with every name that is not known, if it is no such file."""
    try:
        found = Plans.model_validate(read_tree(path))
    except ValidationError as error:
        raise UserError(f"{path}: {' '.join(_sentences(error))}") from None
    if not found.plans:
        raise UserError(f"{path} has no plan. Write one under plans, such as int8: [{{part: round_to_nearest}}].")
    for name, steps in found.plans.items():
        if not NAME.fullmatch(name) or name in RESERVED:
            raise UserError(
                f"{path}: {name!r} cannot be a plan's name: it names a folder, so it has letters, digits, dots, _ and "
                f"-, and is none of {', '.join(RESERVED)}."
            )
        if not steps:
            raise UserError(f"{path}: the plan {name} has no steps. Name a method: {', '.join(sorted(METHODS))}.")
    return found


def methods(name: str, steps: Sequence[PartSpec]) -> list[Method]:
    """The methods of a plan, made and not yet used. UserError for one, or an argument, that does not exist."""
    made = []
    for step in steps:
        try:
            made.append(build(f"plans.{name}", METHODS, step))
        except UserError:
            raise
        except (TypeError, ValueError) as error:
            raise UserError(f"plans.{name}: {step!r} cannot be made: {error}.") from error
    return made


def _sentences(error: ValidationError) -> list[str]:
    said: dict[str, str] = {}
    for item in error.errors():
        *parents, name = (str(key) for key in item["loc"][: 2 if item["loc"][0] == "calibration" else 3])
        node = Calibration if parents else Plans
        if item["type"] == "extra_forbidden":
            said[name] = f"There is no setting {name!r}. {suggest(name, node.model_fields)}"
        elif item["type"] == "missing":
            said[name] = f"{name} is missing."
        elif item["loc"][0] == "plans":
            said["plans"] = (
                f"{'.'.join(str(key) for key in item['loc'][:2])} is no list of steps, such as "
                "[{part: round_to_nearest, bits: 8}]."
            )
        else:
            said[name] = f"{'.'.join([*parents, name])} = {item['input']!r}: {item['msg'].removeprefix('Input ')}."
    return list(said.values())
