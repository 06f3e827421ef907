"""How long a run is, in a word: 300s, 5m, 20Mtok, 1e14flop, 500steps."""

import re

from firsthand.errors import UserError

BOUNDS = ("steps", "tokens", "seconds", "flops")
"""The settings train.BOUND that end a run."""

_UNITS = {
    "s": ("seconds", 1.0),
    "m": ("seconds", 60.0),
    "min": ("seconds", 60.0),
    "h": ("seconds", 3600.0),
    "tok": ("tokens", 1.0),
    "tokens": ("tokens", 1.0),
    "flop": ("flops", 1.0),
    "flops": ("flops", 1.0),
    "step": ("steps", 1.0),
    "steps": ("steps", 1.0),
}
_PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_WORD = re.compile(r"(?P<number>(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?) ?(?P<prefix>[kMGTPE]?)(?P<unit>[a-z]+)")


def parse_amount(word: str) -> tuple[str, float]:
    """The bound that `word` sets, one of BOUNDS, and its value. UserError that shows how one is written."""
    found = _WORD.fullmatch(word.strip())
    bound, size = _UNITS.get(found["unit"], ("", 0.0)) if found else ("", 0.0)
    if not found or not bound:
        raise UserError(
            f"{word!r} is not a budget. Write a number and its unit: 300s, 5m or 2h of time, 20Mtok or 2e6tok of "
            "tokens, 1e14flop or 100Tflop of arithmetic, 500steps."
        )
    if found["prefix"] and bound == "seconds":
        raise UserError(f"{word!r}: time takes no prefix. Write s, m (minutes) or h after the number: 300s, 5m, 2h.")
    value = float(found["number"]) * _PREFIXES[found["prefix"]] * size
    if not 0 < value < float("inf") or (bound == "steps" and value % 1):
        raise UserError(f"{word!r}: a budget is more than nothing and finite, and steps are whole.")
    return bound, value


def budget_settings(word: str | None) -> list[str]:
    """The overrides that make `word` the only bound of a run; none for None."""
    if word is None:
        return []
    bound, value = parse_amount(word)
    said = str(int(value)) if bound == "steps" else repr(value)
    return [f"train.{name}={said if name == bound else 'null'}" for name in BOUNDS]
