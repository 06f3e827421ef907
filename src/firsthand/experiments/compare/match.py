"""Making models alike in size: the same number of parameters, or the same arithmetic for each token.

The rule. The first variant is the measure. Of every other one d_ff is changed, between half and 16 times d_model, to
the multiple of 8 that comes nearest (to the nearest number at all, if no multiple of 8 is within the tolerance). Where
d_ff cannot do it (no FFN, or one that takes its size from elsewhere), d_model is changed likewise, with d_head and d_ff
in proportion, and then d_ff once more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from firsthand.config import Config
from firsthand.errors import UserError
from firsthand.experiments.compare.variants import Variant
from firsthand.experiments.series import changed
from firsthand.model.count import count_parameters, flops_per_token
from firsthand.model.make import sketch
from firsthand.model.presets import resolve

TOLERANCE = 0.01
MEASURES = {"params": "parameters", "flops": "FLOPs per token"}

Off: TypeAlias = Callable[[Config], float]
"""By which share a model is larger than the target."""


@dataclass(frozen=True)
class Size:
    """What training changes, and its arithmetic for one token (forward and backward)."""

    parameters: int
    flops_per_token: float

    def by(self, measure: str) -> float:
        return float(self.parameters) if measure == "params" else self.flops_per_token


def size_of(config: Config, vocab_size: int) -> Size:
    """The size of a run's model; nothing is allocated. UserError if it cannot be built."""
    model = sketch(resolve(config.model), vocab_size)
    return Size(sum(count_parameters(model).values()), flops_per_token(model))


def match(variant: Variant, vocab_size: int, measure: str, target: float) -> Variant:
    """`variant` with the size that comes nearest to `target` by `measure`, a key of MEASURES.

    UserError if none within TOLERANCE is found.
    """

    def off(config: Config) -> float:
        return size_of(config, vocab_size).by(measure) / target - 1

    if abs(off(variant.config)) <= TOLERANCE / 100:
        return variant
    found = _by_d_ff(variant.config, off)
    if abs(off(found)) > TOLERANCE:
        found = _by_d_ff(_by_d_model(variant.config, off), off)
    if abs(off(found)) > TOLERANCE:
        raise UserError(
            f"{variant.label} cannot be brought within {TOLERANCE:.0%} of {target:,.0f} {MEASURES[measure]}: the "
            f"nearest, {_fields(found)}, is {off(found):+.1%} away. Choose its sizes yourself, in its recipe."
        )
    return Variant(variant.label, found, _changes(variant.config, found, f"{off(found):+.2%} {MEASURES[measure]}"))


def _by_d_ff(config: Config, off: Off) -> Config:
    """The best d_ff; `config` as it is if d_ff changes nothing."""
    d_model = resolve(config.model)["d_model"]

    def at(d_ff: int) -> Config:
        return changed(config, {"model.d_ff": d_ff})

    low, high = max(8, d_model // 2), 16 * d_model
    return config if off(at(low)) == off(at(high)) else _best(at, off, low, high)


def _by_d_model(config: Config, off: Off) -> Config:
    """The best d_model, with as many heads, of the nearest even size, and d_ff in proportion."""
    before = resolve(config.model)
    heads = {f"model.{key}": before[key] for key in ("n_heads", "n_kv_heads")}

    def at(d_model: int) -> Config:
        d_head = max(2, 2 * round(d_model / before["d_model"] * before["d_head"] / 2))
        d_ff = max(8, 8 * round(d_model / before["d_model"] * before["d_ff"] / 8))
        return changed(config, {"model.d_model": d_model, "model.d_head": d_head, "model.d_ff": d_ff} | heads)

    return _best(at, off, max(8, before["d_model"] // 4), 4 * before["d_model"])


def _best(at: Callable[[int], Config], off: Off, low: int, high: int) -> Config:
    """The nearest multiple of 8, which machines like, if it is within the tolerance; else the nearest number."""
    rounded = _nearest(lambda eighth: at(8 * eighth), off, -(-low // 8), high // 8)
    return rounded if abs(off(rounded)) <= TOLERANCE else _nearest(at, off, low, high)


def _nearest(at: Callable[[int], Config], off: Off, low: int, high: int) -> Config:
    """Of the numbers from `low` to `high`, of which a larger one makes a larger model, that nearest to the target."""
    while high - low > 1:
        middle = (low + high) // 2
        if off(at(middle)) > 0:
            high = middle
        else:
            low = middle
    return min(at(low), at(high), key=lambda config: abs(off(config)))


def _changes(before: Config, after: Config, outcome: str) -> list[str]:
    old, new = resolve(before.model), resolve(after.model)
    keys = [key for key in ("d_model", "d_ff", "d_head") if old[key] != new[key]]
    return [*(f"model.{key} {old[key]} → {new[key]}" for key in keys), f"now {outcome}"]


def _fields(config: Config) -> str:
    fields = resolve(config.model)
    return f"d_model = {fields['d_model']} with d_ff = {fields['d_ff']}"
