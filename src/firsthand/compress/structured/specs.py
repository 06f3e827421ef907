"""What a recipe's `model` says of each layer, and how it says that layers have other sizes now."""

from collections.abc import Mapping, Sequence
from typing import Any

from firsthand.compress.subject import Subject
from firsthand.model.presets import resolve
from firsthand.parts import PartSpec, split


def settled(subject: Subject) -> dict[str, Any]:
    """The subject's fields from now on: every one said, so that none is derived from another that changes."""
    subject.fields = resolve(subject.fields) | {"size": None}
    return subject.fields


def specs_of(fields: Mapping[str, Any], slot: str) -> list[PartSpec]:
    """What stands in `slot` (mixer, ffn), layer by layer."""
    pattern = fields[slot] if isinstance(fields[slot], list) else [fields[slot]]
    return [pattern[number % len(pattern)] for number in range(fields["n_layers"])]


def put_specs(fields: dict[str, Any], slot: str, specs: Sequence[PartSpec]) -> None:
    """Say them as shortly as may be: once, if they are all the same."""
    fields[slot] = specs[0] if all(spec == specs[0] for spec in specs) else list(specs)


def put_sizes(fields: dict[str, Any], slot: str, sizes: Sequence[Mapping[str, int]]) -> None:
    """Say the sizes of each layer's part in `slot`; {} for one that has stayed as it was.

    Where all layers have the same they are the model's, else each part has its own.
    """
    old = specs_of(fields, slot)
    same = bool(sizes[0]) and all(size == sizes[0] for size in sizes)
    new: list[PartSpec] = []
    for spec, size in zip(old, sizes, strict=True):
        name, arguments = split(spec)
        arguments = {key: value for key, value in arguments.items() if key not in size} | ({} if same else dict(size))
        new.append({"part": name, **arguments} if arguments else name)
    if same:
        fields.update(sizes[0])
    put_specs(fields, slot, new)
