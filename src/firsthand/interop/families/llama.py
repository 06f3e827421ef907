"""Llama 1 to 3.3, TinyLlama, SmolLM2, and what else calls itself a Llama."""

from typing import Any

from firsthand.interop.families.decoder import ATTENTION, GATED, ROTATIONS, config_out, fields_in
from firsthand.interop.families.family import Family
from firsthand.interop.families.full import Full
from firsthand.interop.families.settings import Settings


def _fields(settings: Settings) -> dict[str, Any]:
    fields = fields_in(settings, "llama", bias=settings.flag("attention_bias", False))
    return fields | {"ffn": {**fields["ffn"], "bias": settings.flag("mlp_bias", False)}}


def _config(full: Full) -> dict[str, Any]:
    biases = {"attention_bias": full["mixer"][0].get("bias") is True, "mlp_bias": full["ffn"][0].get("bias") is True}
    return config_out(full) | biases


LLAMA = Family("llama", "LlamaForCausalLM", ATTENTION + GATED, _fields, _config, "model.", ignored=ROTATIONS)
