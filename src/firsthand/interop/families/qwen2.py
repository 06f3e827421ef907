"""Qwen 2 and 2.5: a Llama with biases on queries, keys and values (arXiv 2407.10671, section 2.2)."""

from typing import Any

from firsthand.interop.families.decoder import (
    ATTENTION,
    GATED,
    config_out,
    fields_in,
    windows_in,
    windows_out,
    with_windows,
)
from firsthand.interop.families.family import Family
from firsthand.interop.families.full import Full
from firsthand.interop.families.settings import Settings


def _fields(settings: Settings) -> dict[str, Any]:
    fields = fields_in(settings, "llama", bias="qkv")
    return with_windows(fields, windows_in(settings, fields["n_layers"]))


def _config(full: Full) -> dict[str, Any]:
    return config_out(full) | windows_out(full)


QWEN2 = Family("qwen2", "Qwen2ForCausalLM", ATTENTION + GATED, _fields, _config, "model.")
