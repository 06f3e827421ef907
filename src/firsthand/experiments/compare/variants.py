"""What is compared: recipes, each with settings of its own, or one recipe with several values of a setting."""

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from firsthand import config as config_module
from firsthand.config import Config
from firsthand.errors import UserError
from firsthand.experiments.amount import budget_settings
from firsthand.experiments.words import describe, distinct, is_setting, slug, split_outside

Find = Callable[[str], Path]


@dataclass(frozen=True)
class Variant:
    """One side of a comparison. `changes`: what was adjusted to make the sides alike, in words."""

    label: str
    config: Config
    changes: list[str] = field(default_factory=list)


def read_variants(
    words: Sequence[str],
    vary: Sequence[str] = (),
    names: str | None = None,
    budget: str | None = None,
    find: Find = Path,
) -> list[Variant]:
    """The variants that the words of a command line name, at least two.

    A word is a recipe, a recipe with settings of its own ("tiny model.position=alibi"), or a setting for all. Each of
    `vary`, key=value,value…, multiplies the variants. Settings hold in this order, the last word wins: the recipe's,
    those for all, the variant's own, the varied ones, the budget. `names`: labels, with commas between them. UserError
    for anything that does not fit.
    """
    common = [word for word in words if is_setting(word)]
    recipes = [split_outside(word, " \t\n") for word in words if not is_setting(word)]
    for _, *tail in recipes:
        _check_settings(tail)
    combinations = list(itertools.product(*(_values(axis) for axis in vary)))
    sides = [(recipe, [*tail, *values]) for recipe, *tail in recipes for values in combinations]
    if len(sides) < 2:
        raise UserError(
            "A comparison needs two sides: name two recipes, or one and --vary with several values: firsthand compare "
            "recipes/tiny.yaml --vary model.position=rope,alibi,none"
        )
    several = len({recipe for recipe, *_ in recipes}) > 1
    labels = _given(names, len(sides)) if names else [_label(recipe, own, several) for recipe, own in sides]
    settings = [[*common, *own, *budget_settings(budget)] for _, own in sides]
    return [
        Variant(label, config_module.load(find(recipe), overrides))
        for label, (recipe, _), overrides in zip(distinct(labels, "{} ({})"), sides, settings, strict=True)
    ]


def folder_name(variants: Sequence[Variant]) -> str:
    """A name for their folder: the same for the same labels."""
    name = "-".join(["compare", *(slug(variant.label) for variant in variants)])
    return name if len(name) <= 72 else f"{name[:64].rstrip('-.')}-{hashlib.sha256(name.encode()).hexdigest()[:7]}"


def _values(axis: str) -> list[str]:
    key, sign, text = axis.partition("=")
    values = split_outside(text, ",")
    if not sign or not is_setting(axis) or not values:
        raise UserError(f"--vary {axis}: write a setting and its values, for example model.position=rope,alibi,none.")
    return [f"{key}={value}" for value in values]


def _check_settings(tail: Sequence[str]) -> None:
    for word in tail:
        if not is_setting(word):
            raise UserError(f"{word!r} after a recipe is no setting. Write each recipe as a word, or key=value.")


def _label(recipe: str, own: Sequence[str], several: bool) -> str:
    described = [describe(setting) for setting in own]
    return " ".join([Path(recipe).stem, *described] if several or not described else described)


def _given(names: str, count: int) -> list[str]:
    given = split_outside(names, ",")
    if len(given) != count:
        raise UserError(f"--names: {len(given)} names for {count} variants. Write one for each, commas between them.")
    return given
