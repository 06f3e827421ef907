"""Mixtral: Mistral's attention, and gated experts. Files hold each expert's matrices for themselves."""

from typing import Any

from firsthand.interop.families.decoder import ATTENTION, config_out, fields_in
from firsthand.interop.families.family import Family
from firsthand.interop.families.full import Full
from firsthand.interop.families.rules import Rule
from firsthand.interop.families.settings import Settings

EXPERTS = (
    Rule("model.layers.{n}.block_sparse_moe.gate.weight", ("blocks.{n}.ffn.router.weight",)),
    Rule("model.layers.{n}.block_sparse_moe.experts.{e}.w1.weight", ("blocks.{n}.ffn.gate.weight",)),
    Rule("model.layers.{n}.block_sparse_moe.experts.{e}.w2.weight", ("blocks.{n}.ffn.down.weight",)),
    Rule("model.layers.{n}.block_sparse_moe.experts.{e}.w3.weight", ("blocks.{n}.ffn.up.weight",)),
)


def _fields(settings: Settings) -> dict[str, Any]:
    fields = fields_in(settings, "mixtral", 1e6, window=settings.whole_or_none("sliding_window"))
    fields["norm"] = {"part": "rms_norm", "eps": settings.number("rms_norm_eps", 1e-5)}
    n_experts = settings.whole("num_local_experts", 8)
    top_k = settings.whole("num_experts_per_tok", 2, most=n_experts)
    return fields | {"ffn": {**fields["ffn"], "part": "experts", "n_experts": n_experts, "top_k": top_k}}


def _config(full: Full) -> dict[str, Any]:
    ffn = full["ffn"][0]
    experts = {"num_local_experts": ffn.get("n_experts"), "num_experts_per_tok": ffn.get("top_k")}
    return config_out(full) | experts | {"sliding_window": full["mixer"][0].get("window")}


MIXTRAL = Family("mixtral", "MixtralForCausalLM", ATTENTION + EXPERTS, _fields, _config, "model.")
