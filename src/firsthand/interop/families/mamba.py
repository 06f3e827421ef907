"""Mamba: what enters, and what decides about the memory, are one matrix each."""

from typing import Any

from firsthand.interop.families.family import PLAIN, Family, refuse_quantized
from firsthand.interop.families.full import Full
from firsthand.interop.families.rules import Rule
from firsthand.interop.families.settings import Settings

CONTEXT = 2048
"""What the published models were trained on (arXiv 2312.00752, appendix E.2). Their config.json does not say."""

SHARED = (
    Rule("backbone.embeddings.weight", ("embedding.weight",)),
    Rule("lm_head.weight", ("unembedding.weight",)),
    Rule("backbone.norm_f.weight", ("norm.gain",)),
    Rule("backbone.layers.{n}.norm.weight", ("blocks.{n}.mixer_norm.gain",)),
    Rule("backbone.layers.{n}.mixer.conv1d.weight", ("blocks.{n}.mixer.taps",), middle=True),
    Rule("backbone.layers.{n}.mixer.conv1d.bias", ("blocks.{n}.mixer.taps_bias",)),
    Rule("backbone.layers.{n}.mixer.A_log", ("blocks.{n}.mixer.log_decay",)),
    Rule("backbone.layers.{n}.mixer.D", ("blocks.{n}.mixer.skip",)),
    Rule("backbone.layers.{n}.mixer.out_proj.{kind}", ("blocks.{n}.mixer.out.{kind}",)),
)


def _inner(theirs: str, *ours: str) -> Rule:
    return Rule(f"backbone.layers.{{n}}.mixer.{theirs}", tuple(f"blocks.{{n}}.mixer.{one}" for one in ours))


RULES = (
    *SHARED,
    _inner("in_proj.{kind}", "enter.{kind}", "gate.{kind}"),
    _inner("x_proj.weight", "time_down.weight", "write.weight", "read.weight"),
    _inner("dt_proj.weight", "time_up.weight"),
    _inner("dt_proj.bias", "time_bias"),
)


def shared_fields(settings: Settings, preset: str, tied: bool) -> dict[str, Any]:
    """What Mamba and Mamba-2 have in common; `tied`: if config.json does not say."""
    refuse_quantized(settings)
    settings.only("use_conv_bias", True)
    settings.only("hidden_act", "silu", "swish")
    return {
        "preset": preset,
        **PLAIN,
        "n_layers": settings.whole("num_hidden_layers"),
        "d_model": settings.whole("hidden_size"),
        "n_heads": 1,
        "context_length": settings.whole("context_length", CONTEXT),
        "ffn": "none",
        "position": "none",
        "norm": {"part": "rms_norm", "eps": settings.number("layer_norm_epsilon", 1e-5)},
        "tied": settings.flag("tie_word_embeddings", tied),
    }


def shared_mixer(settings: Settings) -> dict[str, Any]:
    return {
        "d_state": settings.whole("state_size"),
        "d_conv": settings.whole("conv_kernel", 4),
        "expand": settings.whole("expand", 2),
        "bias": settings.flag("use_bias", False),
    }


def shared_config(full: Full) -> dict[str, Any]:
    mixer = full["mixer"][0]
    return {
        "num_hidden_layers": full["n_layers"],
        "hidden_size": full["d_model"],
        "context_length": full["context_length"],
        "layer_norm_epsilon": full["norm"].get("eps"),
        "tie_word_embeddings": full["tied"],
        "state_size": mixer.get("d_state"),
        "conv_kernel": mixer.get("d_conv"),
        "expand": mixer.get("expand"),
        "use_bias": mixer.get("bias"),
        "use_conv_bias": True,
        "hidden_act": "silu",
    }


def _fields(settings: Settings) -> dict[str, Any]:
    fields = shared_fields(settings, "mamba", tied=True)
    derived = -(-fields["d_model"] // 16)
    rank = derived if settings.tree.get("time_step_rank") == "auto" else settings.whole("time_step_rank", derived)
    mixer = {"part": "mamba", **shared_mixer(settings), "time_rank": rank}
    settings.only("intermediate_size", mixer["expand"] * fields["d_model"])
    return fields | {"mixer": mixer}


def _config(full: Full) -> dict[str, Any]:
    return shared_config(full) | {"time_step_rank": full["mixer"][0].get("time_rank")}


MAMBA = Family("mamba", "MambaForCausalLM", RULES, _fields, _config, "backbone.")
