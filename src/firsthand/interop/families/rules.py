"""Which tensor of ours is which of theirs: a table that is read in both directions."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

_PLACES = {"n": r"(?P<n>0|[1-9]\d{0,6})", "kind": r"(?P<kind>weight|bias)"}

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Rule:
    """One tensor of theirs (for each of several experts, if its name has {e}) and those of ours that it holds.

    Names may have {n}, the layer, and {kind}, weight or bias. Several of ours stand side by side along the outputs.
    `transposed`: theirs is (d_in, d_out). `middle`: theirs has an axis of length 1 before the last.
    """

    theirs: str
    ours: tuple[str, ...]
    transposed: bool = False
    middle: bool = False


@dataclass(frozen=True)
class Step:
    """A rule with the places in its names filled: tensors of ours that become tensors of theirs, and back."""

    rule: Rule
    ours: tuple[str, ...]
    theirs: tuple[str, ...]

    def out(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Theirs, made of ours."""
        tensors = [weights[name] for name in self.ours]
        if "{e}" in self.rule.theirs:
            return dict(zip(self.theirs, tensors[0].unbind(), strict=True))
        tensor = torch.cat(tensors) if len(tensors) > 1 else tensors[0]
        tensor = tensor.unsqueeze(-2) if self.rule.middle else tensor
        return {self.theirs[0]: tensor.t() if self.rule.transposed and tensor.ndim == 2 else tensor}

    def back(self, tensors: Mapping[str, Tensor], shapes: Mapping[str, Shape]) -> dict[str, Tensor]:
        """Ours, of the given shapes, made of theirs."""
        if "{e}" in self.rule.theirs:
            return {self.ours[0]: torch.stack([tensors[name] for name in self.theirs])}
        tensor = tensors[self.theirs[0]]
        tensor = tensor.t() if self.rule.transposed and tensor.ndim == 2 else tensor
        tensor = tensor.squeeze(-2) if self.rule.middle else tensor
        parts = torch.split(tensor, [shapes[name][0] for name in self.ours]) if len(self.ours) > 1 else (tensor,)
        return {name: part.contiguous() for name, part in zip(self.ours, parts, strict=True)}


def steps(rules: Iterable[Rule], shapes: Mapping[str, Shape]) -> Iterator[Step]:
    """How the parameters of a model of ours, by name and shape, become theirs. KeyError names one without a rule."""
    patterns = [(re.compile(_pattern(rule.ours[0])), rule) for rule in rules]
    rest = [re.compile(_pattern(name)) for rule in rules for name in rule.ours[1:]]
    for name, shape in shapes.items():
        for pattern, rule in patterns:
            if found := pattern.fullmatch(name):
                filled = found.groupdict()
                theirs = [rule.theirs]
                if "{e}" in rule.theirs:
                    theirs = [rule.theirs.replace("{e}", str(expert)) for expert in range(shape[0])]
                yield Step(rule, *(tuple(_fill(each, filled) for each in names) for names in (rule.ours, theirs)))
                break
        else:
            if not any(pattern.fullmatch(name) for pattern in rest):
                raise KeyError(name)


def _pattern(template: str) -> str:
    """The regular expression of a name with places; each place once."""
    text = re.escape(template)
    for place, expression in _PLACES.items():
        text = text.replace(re.escape("{" + place + "}"), expression)
    return text


def _fill(template: str, places: Mapping[str, str]) -> str:
    for place, value in places.items():
        template = template.replace("{" + place + "}", value)
    return template
