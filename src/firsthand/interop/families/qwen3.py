"""Qwen 3: queries and keys are normed in each head (arXiv 2505.09388, section 2)."""

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
from firsthand.interop.families.rules import Rule
from firsthand.interop.families.settings import Settings

HEAD_NORMS = (
    Rule("model.layers.{n}.self_attn.q_norm.weight", ("blocks.{n}.mixer.query_norm.gain",)),
    Rule("model.layers.{n}.self_attn.k_norm.weight", ("blocks.{n}.mixer.key_norm.gain",)),
)


def _fields(settings: Settings) -> dict[str, Any]:
    settings.whole("head_dim", 128)
    if settings.tree.get("head_dim") is None:
        settings = Settings({**settings.tree, "head_dim": 128}, settings.where)
    eps = settings.number("rms_norm_eps", 1e-6)
    fields = fields_in(settings, "qwen3", bias=settings.flag("attention_bias", False), qk_norm="gain", qk_norm_eps=eps)
    return with_windows(fields, windows_in(settings, fields["n_layers"]))


def _config(full: Full) -> dict[str, Any]:
    return config_out(full) | windows_out(full) | {"attention_bias": full["mixer"][0].get("bias") is True}


QWEN3 = Family("qwen3", "Qwen3ForCausalLM", ATTENTION + GATED + HEAD_NORMS, _fields, _config, "model.")
