"""The tensors of a folder: in one file or several, checked against the model before any of them is read."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from firsthand.checkpoint import files, read_header, read_safetensors
from firsthand.errors import DamagedError, UserError
from firsthand.interop.families import Family
from firsthand.interop.families.rules import Shape, Step, steps
from firsthand.interop.families.shapes import sketch_of
from firsthand.tables import read_table

WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
LARGEST_INDEX = 1 << 26
PLAIN_NAME = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,128}")
FLOATS = {torch.float64, torch.float32, torch.float16, torch.bfloat16}
OTHERS = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")


def read_weights(folder: Path, family: Family, fields: dict[str, Any], vocab_size: int) -> dict[str, Tensor]:
    """The parameters of the model that `fields` describe, in fp32, by our names.

    UserError names the first tensor that is missing, left over, or of another shape or kind than the model's.
    """
    shards = _shards(folder)
    headers = {name: entry for path in shards for name, entry in read_header(path).items()}
    plan = plan_of(family, fields, vocab_size, headers, str(folder))
    return plan.carry_out({name: tensor for path in shards for name, tensor in read_safetensors(path).items()})


@dataclass(frozen=True)
class Plan:
    """How tensors of theirs become the parameters of a model of ours. `names`: as the rules say and as they are stored;
    `shapes`: of our parameters."""

    steps: list[Step]
    names: Mapping[str, str]
    shapes: Mapping[str, Shape]

    def carry_out(self, stored: dict[str, Tensor]) -> dict[str, Tensor]:
        """The parameters in fp32, by our names. `stored`, by their names, is emptied of them on the way."""
        tensors = {name: stored.pop(theirs) for name, theirs in self.names.items()}
        stored.clear()
        weights: dict[str, Tensor] = {}
        for step in self.steps:  # one after another, so that little is there twice
            weights |= step.back({name: tensors.pop(name).float() for name in step.theirs}, self.shapes)
        return weights


def plan_of(
    family: Family, fields: dict[str, Any], vocab_size: int, there: Mapping[str, tuple[torch.dtype, Shape]], where: str
) -> Plan:
    """The plan for the tensors that are `there`, which are checked against the model that `fields` describe.

    UserError names the first that is missing, left over, or of another shape or kind than the model's. `where` they
    were found is for its words.
    """
    _bound(where, fields, len(there))
    sketch = sketch_of(fields, vocab_size, f"{where}/config.json")
    shapes = {name: tuple(tensor.shape) for name, tensor in sketch.items()}
    plan = Plan(
        list(steps(family.rules, shapes)), _names(family, there, tied="unembedding.weight" not in sketch), shapes
    )
    _check(where, plan.steps, sketch, {name: there[theirs] for name, theirs in plan.names.items()})
    return plan


def _shards(folder: Path) -> list[Path]:
    """The files that hold the tensors."""
    if files.size(folder / WHOLE) is not None:
        return [folder / WHOLE]
    if files.size(folder / INDEX) is None:
        other = [name for name in files.names(folder) if name.endswith(OTHERS)]
        if other:
            raise UserError(
                f"{folder} has its weights in {other[0]}, a format that can run code when it is opened, or that is not "
                "read here. Convert it where you trust it: AutoModelForCausalLM.from_pretrained(OLD)"
                ".save_pretrained(NEW) of transformers writes safetensors."
            )
        raise UserError(f"{folder} has no {WHOLE} and no {INDEX}: its weights are missing.")
    table = read_table(folder / INDEX, LARGEST_INDEX).get("weight_map")
    if not isinstance(table, dict) or not table:
        raise DamagedError(f"{folder / INDEX} has no weight_map.")
    shards = set(table.values()) if all(isinstance(value, str) for value in table.values()) else {""}
    for name in shards:
        if not PLAIN_NAME.fullmatch(name) or not name.endswith(".safetensors"):
            raise DamagedError(f"{folder / INDEX} names the file {name[:80]!r}, which cannot be one of its parts.")
        if files.size(folder / name) is None:
            raise DamagedError(f"{folder / name} is missing: {INDEX} says that tensors are in it.")
    for name in sorted(shards):
        there, listed = set(read_header(folder / name)), {key for key, file in table.items() if file == name}
        if there != listed:
            raise DamagedError(f"{folder / INDEX} and {name} do not agree about {min(there ^ listed)[:80]!r}.")
    return [folder / name for name in sorted(shards)]


def _bound(where: str, fields: Mapping[str, Any], tensors: int) -> None:
    """Of every layer and expert there must be a tensor: before anything is made for each of them."""
    ffn = fields["ffn"]
    experts = ffn.get("n_experts", 1) if isinstance(ffn, dict) else 1
    if fields["n_layers"] * experts > tensors:
        raise DamagedError(
            f"{where}/config.json speaks of {fields['n_layers']:,} layers"
            f"{f' of {experts:,} experts' if experts > 1 else ''}, but there are only {tensors:,} tensors."
        )


def _names(family: Family, there: Iterable[str], tied: bool) -> dict[str, str]:
    """The names of the tensors that count, as the family's rules write them, each with its name in the file."""
    there = list(there)
    bare = not any(name.startswith(family.prefix) for name in there)
    names = {(family.prefix + name if bare and name != family.head else name): name for name in there}
    ignored = re.compile(family.ignored)
    return {
        name: stored
        for name, stored in names.items()
        if not ignored.fullmatch(name) and not (tied and name == family.head)
    }


def _check(
    where: str, plan: list[Step], sketch: Mapping[str, Tensor], there: Mapping[str, tuple[torch.dtype, Shape]]
) -> None:
    wanted = {name: tuple(tensor.shape) for step in plan for name, tensor in step.out(sketch).items()}
    missing, extra = sorted(wanted.keys() - there.keys()), sorted(there.keys() - wanted.keys())
    if missing:
        raise UserError(
            f"{where} lacks the tensor {missing[0]} and {len(missing) - 1} more that its config.json asks for."
        )
    if extra:
        raise UserError(
            f"{where} has the tensor {extra[0][:120]} and {len(extra) - 1} more that no part of this kind of model "
            "takes. It is another kind, or a head or adapter was saved with it."
        )
    for name, (dtype, shape) in there.items():
        if shape != wanted[name]:
            raise UserError(f"{where}: the tensor {name} is {shape}, but by its config.json it is {wanted[name]}.")
        if dtype not in FLOATS:
            raise UserError(f"{where}: the tensor {name} is {dtype}, so it is quantized, which is not read here.")
