"""RoPE in config.json: two layouts, of which the older one is written: versions 4 and 5 of transformers read it."""

from typing import Any

from firsthand.errors import UserError
from firsthand.interop.families.full import Full
from firsthand.interop.families.settings import LARGEST, Settings

LARGEST_TABLE = 1 << 27
"""Numbers in the table of a rotation: a million positions of 128 channels."""


def rotation_in(settings: Settings, d_head: int, context_length: int, theta: float = 1e4) -> dict[str, Any]:
    """The position scheme: `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling` (before).

    UserError for a kind of scaling that is not one of ours, or one with other constants.
    """
    if d_head * context_length > LARGEST_TABLE:
        raise UserError(
            f"{settings.where} asks for {context_length:,} positions of {d_head:,} channels; the rotation's table may "
            f"have {LARGEST_TABLE:,} numbers. Lower max_position_embeddings if the model never reads so much."
        )
    theta = settings.number("rope_theta", theta)
    settings.only("partial_rotary_factor", 1, 1.0)
    old, new = settings.inner("rope_scaling"), settings.inner("rope_parameters")
    found = old or new or Settings({}, settings.where)  # transformers, too, prefers the older one if both are there
    rope: dict[str, Any] = {"part": "rope", "layout": "half", "theta": found.number("rope_theta", theta)}
    kind = found.word("rope_type" if found.has("rope_type") else "type", "default", _KINDS)
    found.only("partial_rotary_factor", 1, 1.0)
    found.only("mscale")
    found.only("mscale_all_dim")
    if kind is None:
        return rope
    rope |= {"scaling": kind, "factor": found.number("factor")}
    if kind == "llama3":
        _exactly(found, "low_freq_factor", 1.0)
        _exactly(found, "high_freq_factor", 4.0)
    if kind == "yarn":
        found.only("beta_fast", 32)
        found.only("beta_slow", 1)
        found.only("attention_factor")
        found.only("truncate", True)
    if kind != "linear":
        rope["trained_length"] = found.whole("original_max_position_embeddings", context_length, most=LARGEST)
    return rope


def rotation_out(full: Full) -> dict[str, Any]:
    """The settings for the model's position scheme, as near as they come."""
    rope = full["position"]
    parameters: dict[str, Any] = {"rope_type": rope.get("scaling") or "default", "rope_theta": rope.get("theta", 1e4)}
    if rope.get("scaling"):
        parameters["factor"] = rope["factor"]
    if rope.get("scaling") == "llama3":
        parameters |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    if "trained_length" in rope:
        parameters["original_max_position_embeddings"] = rope["trained_length"]
    theta = parameters.pop("rope_theta")
    return {"rope_theta": theta, "rope_scaling": parameters if len(parameters) > 1 else None}


_KINDS: dict[str, str | None] = {"default": None, "linear": "linear", "llama3": "llama3", "yarn": "yarn"}


def _exactly(settings: Settings, key: str, value: float) -> None:
    if settings.number(key) != value:
        settings.refuse(key, settings.number(key), str(value))
