"""Words of the command line that hold settings: lists of values, part specs in braces, and short names for them."""

import re
from collections.abc import Iterable
from typing import Any

import yaml

from firsthand.config import PARTS
from firsthand.errors import UserError

_SETTING = re.compile(r"[a-z_]+(\.\w+)*=", re.ASCII)
_OPENING, _CLOSING = "([{", ")]}"


def is_setting(word: str) -> bool:
    """Is it key=value, and not the name of a file?"""
    return _SETTING.match(word) is not None


def split_outside(text: str, separators: str) -> list[str]:
    """`text` cut at separators that stand outside brackets, braces and quotes; what is empty is left out."""
    pieces, depth, quote = [""], 0, ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        else:
            depth += (char in _OPENING) - (char in _CLOSING)
            if char in separators and depth == 0:
                pieces.append("")
                continue
        pieces[-1] += char
    if quote or depth:
        raise UserError(f"A quotation mark or bracket in {text!r} is not closed, or closed twice.")
    return [piece.strip() for piece in pieces if piece.strip()]


def describe(setting: str) -> str:
    """A short name for key=value: a part's own name, else the last word of the key with the value.

    model.position=rope → rope; model.ffn={part: gated, d_ff: 256} → gated d_ff=256; model.d_ff=256 → d_ff=256.
    """
    key, _, text = setting.partition("=")
    last = key.rpartition(".")[2]
    value = yaml.safe_load(text) if text else None
    return _value(value, text) if last in PARTS and value is not None else f"{last}={text or 'null'}"


def slug(text: str, longest: int = 48) -> str:
    """`text` as the name of a folder."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.")[:longest].strip("-.") or "run"


def distinct(names: Iterable[str], form: str) -> list[str]:
    """`names`, where the second of the same is `form` of it and 2, and so on."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else form.format(name, seen[name]))
    return found


def _value(value: Any, text: str) -> str:
    if isinstance(value, list):
        return "+".join(_value(item, str(item)) for item in value)
    if not isinstance(value, dict):
        return re.sub(r"^.*/", "", text)
    part = re.sub(r"^.*/", "", str(value.get("part", "")))
    return " ".join([part, *(f"{key}={item}" for key, item in value.items() if key != "part")]).strip()
