"""The fields of a model with nothing left to defaults: what two models must share to compute the same."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from firsthand.model.blocks import BLOCKS
from firsthand.model.ffns import FFNS
from firsthand.model.make import NO_FFN, TIE_FROM
from firsthand.model.mixers import MIXERS
from firsthand.model.norms import NORMS
from firsthand.model.positions import POSITIONS
from firsthand.model.presets import resolve
from firsthand.model.residuals import RESIDUALS
from firsthand.parts import PartSpec, split, takes

Full: TypeAlias = dict[str, Any]
"""n_layers, d_model, context_length, tied, softcap; block, residual, position, norm; lists of mixers and ffns."""

_TABLES: dict[str, Mapping[str, Any]] = {
    "block": BLOCKS,
    "residual": RESIDUALS,
    "position": POSITIONS,
    "norm": NORMS,
    "mixer": MIXERS,
    "ffn": FFNS,
}
_SIZES = ("d_model", "n_heads", "n_kv_heads", "d_head", "d_ff", "context_length", "bias", "n_layers")
_NOT_SET = {"position", "vocab_size", "layer", "mixer", "ffn", "mixer_norm", "ffn_norm", "residual", "initialize"}
"""Arguments that the assembly hands over."""
_TRAINING = {"dropout", "attention_dropout", "balance", "balance_weight"}
"""Arguments that act in training alone."""


def in_full(fields: Mapping[str, Any], vocab_size: int) -> Full:
    """Every argument of every part that says what is computed, as the parts would get it (see `build_model`)."""
    fields = resolve(dict(fields))
    offered = {key: fields[key] for key in _SIZES}
    whole: Full = {key: fields[key] for key in ("n_layers", "d_model", "context_length")}
    whole["tied"] = vocab_size >= TIE_FROM if fields["tied"] is None else fields["tied"]
    whole["softcap"] = fields["softcap"] or 0.0
    for slot in ("block", "residual", "position", "norm"):
        whole[slot] = _part(slot, fields[slot], offered)
    for slot in ("mixer", "ffn"):
        pattern = fields[slot] if isinstance(fields[slot], list) else [fields[slot]]
        parts = [_part(slot, spec, offered) for spec in pattern]
        whole[slot] = [parts[number % len(parts)] for number in range(fields["n_layers"])]
    name, _ = split(fields["initialize"])
    whole["initialize"] = "mup" if name == "mup" else "weights"  # mup scales the logits, too
    return whole


def _part(slot: str, spec: PartSpec, offered: Mapping[str, Any]) -> dict[str, Any]:
    name, arguments = split(spec)
    part = _TABLES[slot].get(name)
    if part is None or name == NO_FFN:
        return {"part": name, **arguments}
    parameters, _ = takes(part)
    known = {key: parameter.default for key, parameter in parameters.items() if key not in _NOT_SET | _TRAINING}
    known |= {key: value for key, value in {**offered, **arguments}.items() if key in known}
    known = _PLAIN.get(name, dict)(known)
    return {"part": name} | {key: value for key, value in known.items() if key != "d_model"}


def _plain_rope(arguments: dict[str, Any]) -> dict[str, Any]:
    """Without what has no effect, and with the trained length that a scaling would derive."""
    length = arguments["trained_length"] or max(1, round(arguments["context_length"] / arguments["factor"]))
    used = {"yarn", "llama3"}
    rest = {key: arguments[key] for key in ("d_head", "theta", "layout", "scaling", "factor")}
    return rest | ({"trained_length": length} if arguments["scaling"] in used else {})


def _plain_attention(arguments: dict[str, Any]) -> dict[str, Any]:
    """Without the eps of norms that are not there; `n_kv_heads` and `d_head` are always given."""
    return {key: value for key, value in arguments.items() if key != "qk_norm_eps" or arguments["qk_norm"]}


def _plain_mamba(arguments: dict[str, Any]) -> dict[str, Any]:
    return arguments | {"time_rank": arguments["time_rank"] or -(-arguments["d_model"] // 16)}


_PLAIN = {"rope": _plain_rope, "attention": _plain_attention, "mamba": _plain_mamba}


def differences(one: Full, other: Full) -> dict[str, tuple[Any, Any]]:
    """What sets two models apart, by dotted name: (in one, in the other)."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in one:
        _compare(key, one[key], other.get(key), found)
    return found


def _compare(key: str, one: Any, other: Any, found: dict[str, tuple[Any, Any]]) -> None:
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for mine, theirs in zip(one, other, strict=True):
            _compare(key, mine, theirs, found)
    elif isinstance(one, dict) and isinstance(other, dict) and one.get("part") == other.get("part"):
        for name in sorted(one.keys() | other.keys()):
            _compare(f"{key}.{name}", one.get(name), other.get(name), found)
    elif one != other:
        found.setdefault(key, (_short(one), _short(other)))


def _short(value: Any) -> Any:
    return value["part"] if isinstance(value, dict) and "part" in value else value
