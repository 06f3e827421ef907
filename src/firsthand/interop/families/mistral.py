"""Mistral: a Llama whose attention may have a window (arXiv 2310.06825, section 2)."""

from typing import Any

from firsthand.interop.families.decoder import ATTENTION, GATED, ROTATIONS, config_out, fields_in
from firsthand.interop.families.family import Family
from firsthand.interop.families.full import Full
from firsthand.interop.families.settings import Settings

WINDOW = 4096
"""Where config.json does not name one; null means none."""


def _fields(settings: Settings) -> dict[str, Any]:
    window = settings.whole_or_none("sliding_window", None if settings.has("sliding_window") else WINDOW)
    return fields_in(settings, "llama", window=window)


def _config(full: Full) -> dict[str, Any]:
    return config_out(full) | {"sliding_window": full["mixer"][0].get("window")}


MISTRAL = Family("mistral", "MistralForCausalLM", ATTENTION + GATED, _fields, _config, "model.", ignored=ROTATIONS)
